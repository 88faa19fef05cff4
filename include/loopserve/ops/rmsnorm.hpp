// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <span>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// out[r] = x[r] / sqrt(mean(x[r]^2) + eps) * weight, row by row; x and out (rows, width), weight (width). `out` may be x.
/// Norms of query or key heads are rows too: (rows * heads, head_dim). Source: Zhang, Sennrich: Root mean square layer normalization, 2019.
inline void rmsnorm(reference const& b, tensor_view<float const, 2> x, std::span<float const> weight, float eps, tensor_view<float, 2> out) {
  auto const width = x.extent(1);
  check(out.extents() == x.extents() && static_cast<index_t>(weight.size()) == width, "rmsnorm: x, weight and out must agree in shape");
  parallel_for(x.size() < 65536 ? 1 : b.threads(), x.extent(0), [&](index_t r) {
    double sum = 0;
    for (index_t i = 0; i < width; ++i) { sum += static_cast<double>(x(r, i)) * x(r, i); }
    auto const scale = 1 / std::sqrt(sum / static_cast<double>(width) + eps);
    for (index_t i = 0; i < width; ++i) { out(r, i) = static_cast<float>(x(r, i) * scale * weight[i]); }
  });
}

}  // namespace loopserve
