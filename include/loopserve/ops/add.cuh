// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/add.hpp>
#include <loopserve/ops/add_kernel.hpp>

namespace loopserve {

/// The reference's add, for float32, bf16 or f16; the sum is rounded once. All data lies in the device's memory.
template <device_backend B, class X, class Y>
void add(B const& b, tensor_view<X, 2> x, tensor_view<Y, 2> y) {
  check(x.extents() == y.extents(), "add: x and y must agree in shape");
  using kernel = add_kernel<std::remove_const_t<X>, Y>;
  b.launch({blocks_for(x.extent(0), 1), blocks_for(x.extent(1), kernel::tile)}, kernel{x, y});
}

}  // namespace loopserve
