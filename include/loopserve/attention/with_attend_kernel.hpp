// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/attention/matrix_attend_kernel.hpp>
#include <loopserve/attention/scalar_attend_kernel.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve::detail {

/// How a block of tensor cores takes rows: `warps` warps of `row_blocks` times 16. A fragment of keys or values serves all rows of its warp, a tile of them those of
/// its block.
struct row_shape {
  int warps, row_blocks;
};
inline constexpr row_shape narrow_tile{4, 1};
inline constexpr row_shape wide_tile{4, 2};

/// Whether so many tiles of 128 rows leave work for most of a device's multiprocessors, which are about as many: two blocks of 64 rows take longer on one of them
/// than one block of 128, and less time on two.
constexpr bool rows_are_many(index_t tiles_of_128) { return tiles_of_128 >= 128; }

/// Calls `launch` with the type that attends to heads of this size: on tensor cores where the elements have 16 bits and the usual sizes.
template <class Element, row_shape Rows, class Launch>
void with_attend(int head_dim, Launch launch) {
  if constexpr (!std::is_same_v<Element, float>) {
    switch (head_dim) {
      case 32: return launch.template operator()<matrix_attend<Element, 32, Rows.warps, Rows.row_blocks>>();
      case 64: return launch.template operator()<matrix_attend<Element, 64, Rows.warps, Rows.row_blocks>>();
      case 96: return launch.template operator()<matrix_attend<Element, 96, Rows.warps, Rows.row_blocks>>();
      case 128: return launch.template operator()<matrix_attend<Element, 128, Rows.warps, Rows.row_blocks>>();
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
