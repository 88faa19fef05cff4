// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// out = silu(gate) * up, element by element, silu(v) = v / (1 + exp(-v)); all (rows, width). `out` may be gate or up.
/// Source: Shazeer: GLU variants improve transformer, arXiv 2002.05202 (SwiGLU).
inline void silu_mul(reference const& b, tensor_view<float const, 2> gate, tensor_view<float const, 2> up, tensor_view<float, 2> out) {
  check(gate.extents() == up.extents() && gate.extents() == out.extents(), "silu_mul: gate, up and out must agree in shape");
  parallel_for(gate.size() < 16384 ? 1 : b.threads(), gate.extent(0), [&](index_t r) {
    for (index_t i = 0; i < gate.extent(1); ++i) {
      double const v = gate(r, i);
      out(r, i) = static_cast<float>(v / (1 + std::exp(-v)) * up(r, i));
    }
  });
}

}  // namespace loopserve
