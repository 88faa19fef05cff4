// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <type_traits>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/rmsnorm.hpp>
#include <loopserve/ops/rmsnorm_kernel.hpp>

namespace loopserve {

/// The reference's rmsnorm, for rows of float32, bf16 or f16. All data lies in the device's memory.
template <device_backend B, class In, class Out>
void rmsnorm(B const& b, tensor_view<In, 2> x, std::span<float const> weight, float eps, tensor_view<Out, 2> out) {
  check(out.extents() == x.extents() && static_cast<index_t>(weight.size()) == x.extent(1),
        "rmsnorm: x, weight and out must agree in shape");
  if (x.size() == 0) { return; }
  b.launch({blocks_for(x.extent(0), 1)}, rmsnorm_kernel<std::remove_const_t<In>, Out>{x, weight.data(), eps, out});
}

}  // namespace loopserve
