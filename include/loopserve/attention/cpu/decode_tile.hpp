// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/attention/cpu/scattered_row.hpp>

namespace loopserve::detail {

inline constexpr int decode_keys = 32;  ///< keys that are attended at once

/// The running softmax of the query heads of one KV head over some of its keys. padded_dim: a multiple of 16.
struct decode_state {
  int heads;
  int dim;
  int padded_dim;
  float const* q;  ///< (heads, padded_dim), times log2(e) / sqrt(head_dim), zeros behind dim
  float* sum;      ///< (heads, padded_dim)
  float* top;      ///< (heads)
  float* weight;   ///< (heads, 32): a sum for each place in a tile
};

}  // namespace loopserve::detail

#define LOOPSERVE_KERNELS <loopserve/attention/cpu/kernels/decode_tile.inc>
#include <loopserve/ops/cpu/each_isa.hpp>
