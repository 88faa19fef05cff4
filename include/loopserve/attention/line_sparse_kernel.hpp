// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/attention/line_keys_kernel.hpp>
#include <loopserve/attention/prefill_order_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/dev/load_whole.hpp>

namespace loopserve {

/// Attention of a tile of one query head's rows over what the plan keeps for them, or densely where it says so; `Attend` is how. Block x takes the tile order[x].
///
/// Tiles of 128 rows name more keys than tiles of 64, by up to 60% for planted lines of 5 to 20% of the cells, but each is read for twice the rows: by counting
/// (docs/decisions/0024-prefill-tiles-are-of-128-rows.md) an H100's L2 cache would else take longer than its tensor cores.
///
/// Heads, and tiles of a head, differ in their keys by a hundred times. A device starts blocks in the order of their numbers, one where another has ended: with
/// the longest tiles first, none is left to run alone at the end. A persistent grid that draws tickets would start them in the same order, at the price of an atomic and a barrier a tile.
template <class Attend>
struct line_sparse_kernel {
  using element_type = typename Attend::element_type;
  using keys_of = detail::planned_keys<element_type, Attend::tile_keys, (Attend::tile_rows + 63) / 64>;
  static constexpr int threads = Attend::threads;

  planned_record<element_type> const* records;
  detail::tile_count tiles;
  int const* order;
  int head_dim;

  index_t shared_bytes() const { return Attend::template shared_bytes<keys_of>(head_dim); }

  LOOPSERVE_DEVICE void operator()() const {
    detail::tile_place const place(tiles, dev::load(order + dev::block().x));
    auto const job = dev::load_whole(records + place.job);
    int const first_row = place.tile * Attend::tile_rows;
    if (first_row >= job.rows || place.head >= job.heads) { return; }
    detail::query_tile const rows{place.head, 1, first_row, job.rows - first_row < Attend::tile_rows ? job.rows - first_row : Attend::tile_rows};
    auto const* const record = records + place.job;
    Attend::attend(record, rows, keys_of(job, &record->kv, place.head, place.head / (job.heads / job.kv.kv_heads), rows.span(job)));
  }
};

}  // namespace loopserve
