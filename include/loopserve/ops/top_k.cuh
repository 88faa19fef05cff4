// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/top_k.hpp>
#include <loopserve/ops/top_k_kernel.hpp>

namespace loopserve {

/// The reference's top_k, list by list; a radix select in five launches, whatever the lengths. Nothing waits.
template <device_backend B>
void top_k(B const& b, tensor_view<float const, 2> scores, int k, float least, kept_rows_view out) {
  check(out.kv_heads == scores.extent(0), "top_k: there is a list for each row of scores");
  if (out.kv_heads == 0) { return; }
  int const tiles = std::max(1, blocks_for(scores.extent(1), top_k_search::tile));
  auto counted = b.template make_buffer<int>(index_t{out.kv_heads} * 3 * top_k_search::bins);
  auto shares = b.template make_buffer<tile_share>(index_t{out.kv_heads} * tiles);
  b.fill(counted.data(), 0, counted.bytes());
  top_k_search const search{scores, k, top_k_search::key_of(least), counted.data()};
  grid const blocks{tiles, out.kv_heads};
  for (int digit = 0; digit < 3; ++digit) { b.launch(blocks, count_digit_kernel{search, digit}); }
  b.launch(blocks, count_best_kernel{search, shares.data()});
  b.launch(blocks, write_best_kernel{search, shares.data(), out});
}

/// The reference's force_ends.
template <device_backend B>
void force_ends(B const& b, tensor_view<float, 2> scores, int first, int last) {
  auto const n = static_cast<int>(scores.extent(1));
  first = std::clamp(first, 0, n);
  last = std::clamp(last, 0, n - first);
  b.launch({blocks_for(first + last, force_ends_kernel::threads), static_cast<int>(scores.extent(0))},
           force_ends_kernel{scores, first, last});
}

/// The reference's force_rows.
template <device_backend B>
void force_rows(B const& b, tensor_view<float, 2> scores, kept_rows_view rows) {
  b.launch({blocks_for(rows.stride, force_rows_kernel::threads), rows.kv_heads}, force_rows_kernel{scores, rows});
}

/// The reference's copy_kept.
template <device_backend B>
void copy_kept(B const& b, kept_rows_view from, kept_rows_view to) {
  check(from.kv_heads == to.kv_heads, "copy_kept: as many lists as there are");
  b.launch({std::max(1, blocks_for(from.stride, copy_kept_kernel::threads)), from.kv_heads}, copy_kept_kernel{from, to});
}

}  // namespace loopserve
