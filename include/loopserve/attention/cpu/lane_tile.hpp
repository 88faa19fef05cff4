// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace loopserve::detail {

inline constexpr int tile_lanes = 64;  ///< query rows that one tile serves; a mask word has a bit for each
inline constexpr int tile_keys = 64;   ///< keys that are attended at once

/// The running softmax of up to 64 query rows, one a lane: everything lies transposed, so that vector lanes are query rows, keys and values are broadcast from
/// where they lie, and no sum crosses lanes. Online softmax: Milakov and Gimelshein, arXiv 1805.02867; FlashAttention, 2205.14135.
struct lane_tile_state {
  float* q;       ///< (head_dim, 64), times log2(e) / sqrt(head_dim); scores are powers of two's exponents
  float* sum;     ///< (padded_dim, 64), weighted values so far
  float* top;     ///< (64), the largest score so far; `lane_floor` at first
  float* weight;  ///< (64), the sum of weights so far
};

/// Below any score, and finite so that no difference of tops is NaN.
inline constexpr float lane_floor = -1e30F;

/// Keys and values of up to 64 tokens as float32, padded with zeros: (64, padded_dim) each.
struct kv_tile {
  float* k;
  float* v;
  int keys;
  int dim;
  int padded_dim;  ///< a multiple of 8
};

constexpr int padded_to_8(int dim) { return (dim + 7) / 8 * 8; }

/// Bits [low, high) of a word, both clipped to [0, 64].
constexpr std::uint64_t lane_range(std::int64_t low, std::int64_t high) {
  low = low < 0 ? 0 : low;
  high = high > 64 ? 64 : high;
  if (low >= high) { return 0; }
  auto const below_high = high == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << high) - 1;
  return below_high & ~((std::uint64_t{1} << low) - 1);
}

}  // namespace loopserve::detail
