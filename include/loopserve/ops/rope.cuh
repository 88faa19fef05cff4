// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/rope.hpp>
#include <loopserve/ops/rope_kernel.hpp>

namespace loopserve {

/// The reference's rope, for float32, bf16 or f16. All data lies in the device's memory, positions and frequencies too.
template <device_backend B, class Element>
void rope(B const& b, tensor_view<Element, 3> x, std::span<int const> positions, rope_view freq) {
  check(x.extent(0) == static_cast<index_t>(positions.size()), "rope: a position for every row is needed");
  check(2 * freq.pairs <= x.extent(2), "rope: more rotated channels than a head has");
  if (freq.pairs == 0 || x.extent(1) == 0) { return; }
  b.launch({blocks_for(x.extent(0), 1)}, rope_kernel<Element>{x, positions.data(), freq});
}

}  // namespace loopserve
