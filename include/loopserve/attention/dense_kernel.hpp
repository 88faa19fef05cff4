// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/attention/key_names_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/dev/load_whole.hpp>

namespace loopserve {

/// Causal attention of a tile of one query head's rows over all keys that they see; `Attend` is how. Block (tile of rows, the last first, since they see most;
/// query head; job).
template <class Attend>
struct dense_kernel {
  using element_type = typename Attend::element_type;
  static constexpr int threads = Attend::threads;

  prefill_record<element_type> const* records;
  prefill_bounds most;

  index_t shared_bytes() const { return Attend::shared_bytes(most.head_dim); }

  LOOPSERVE_DEVICE void operator()() const {
    auto const job = dev::load_whole(records + dev::block().z);
    int const head = dev::block().y, first_row = (dev::blocks().x - 1 - dev::block().x) * Attend::tile_rows;
    if (first_row >= job.rows || head >= job.heads) { return; }
    int const count = job.rows - first_row < Attend::tile_rows ? job.rows - first_row : Attend::tile_rows;
    detail::causal_keys<element_type, Attend::tile_keys> keys(&records[dev::block().z].kv, head / (job.heads / job.kv.kv_heads),
                                                              {job.kv.tokens - job.rows + first_row, count, job.window});
    Attend::attend(job, head, first_row, count, keys);
  }
};

}  // namespace loopserve
