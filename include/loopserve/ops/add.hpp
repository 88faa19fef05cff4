// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// y += x, both (rows, width).
inline void add(reference const&, tensor_view<float const, 2> x, tensor_view<float, 2> y) {
  check(x.extents() == y.extents(), "add: x and y must agree in shape");
  for (index_t r = 0; r < x.extent(0); ++r) {
    for (index_t i = 0; i < x.extent(1); ++i) { y(r, i) += x(r, i); }
  }
}

}  // namespace loopserve
