// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/attention/line_keys_kernel.hpp>
#include <loopserve/attention/prefill_order_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/dev/load_whole.hpp>

namespace loopserve {

/// Attention of a tile of one query head's rows over what the plan keeps for them, or densely where it says so; `Attend` is how. Block x takes the tile order[x].
///
/// Heads, and tiles of a head, differ in their keys by a hundred times. A device starts blocks in the order of their numbers, one where another has ended: with
/// the longest tiles first, none is left to run alone at the end. A persistent grid that draws tickets would start them in the same order, at the price of an atomic and a barrier a tile.
template <class Attend>
struct line_sparse_kernel {
  using element_type = typename Attend::element_type;
  static constexpr int threads = Attend::threads;

  planned_record<element_type> const* records;
  detail::tile_count tiles;
  int const* order;
  int head_dim;

  index_t shared_bytes() const { return Attend::shared_bytes(head_dim); }

  LOOPSERVE_DEVICE void operator()() const {
    detail::tile_place const place(tiles, dev::load(order + dev::block().x));
    auto const job = dev::load_whole(records + place.job);
    int const first_row = place.tile * Attend::tile_rows;
    if (first_row >= job.rows || place.head >= job.heads) { return; }
    int const count = job.rows - first_row < Attend::tile_rows ? job.rows - first_row : Attend::tile_rows;
    detail::planned_keys<element_type, Attend::tile_keys> keys(job, &records[place.job].kv, place.head,
                                                               place.head / (job.heads / job.kv.kv_heads),
                                                               {job.kv.tokens - job.rows + first_row, count, job.window});
    Attend::attend(job, place.head, first_row, count, keys);
  }
};

}  // namespace loopserve
