// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/silu_mul.hpp>
#include <loopserve/ops/silu_mul_kernel.hpp>

namespace loopserve {

/// The reference's silu_mul, for float32, bf16 or f16; gate and up are of one type. All data lies in the device's memory.
template <device_backend B, class Gate, class Up, class Out>
requires(std::is_same_v<std::remove_const_t<Gate>, std::remove_const_t<Up>>) void silu_mul(B const& b, tensor_view<Gate, 2> gate,
                                                                                           tensor_view<Up, 2> up, tensor_view<Out, 2> out) {
  check(gate.extents() == up.extents() && gate.extents() == out.extents(), "silu_mul: gate, up and out must agree in shape");
  using kernel = silu_mul_kernel<std::remove_const_t<Gate>, Out>;
  b.launch({blocks_for(gate.extent(0), 1), blocks_for(gate.extent(1), kernel::tile)}, kernel{gate, up, out});
}

}  // namespace loopserve
