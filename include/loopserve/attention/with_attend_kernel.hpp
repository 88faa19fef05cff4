// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/attention/matrix_attend_kernel.hpp>
#include <loopserve/attention/scalar_attend_kernel.hpp>

namespace loopserve::detail {

/// Calls `launch` with the type that attends to heads of this size: on tensor cores where the elements have 16 bits and the usual sizes.
template <class Element, class Launch>
void with_attend(int head_dim, Launch launch) {
  if constexpr (!std::is_same_v<Element, float>) {
    switch (head_dim) {
      case 32: return launch.template operator()<matrix_attend<Element, 32>>();
      case 64: return launch.template operator()<matrix_attend<Element, 64>>();
      case 96: return launch.template operator()<matrix_attend<Element, 96>>();
      case 128: return launch.template operator()<matrix_attend<Element, 128>>();
      default: break;
    }
  }
  if (head_dim <= 128) {
    launch.template operator()<scalar_attend<Element, 128>>();
  } else {
    launch.template operator()<scalar_attend<Element, 256>>();
  }
}

}  // namespace loopserve::detail
