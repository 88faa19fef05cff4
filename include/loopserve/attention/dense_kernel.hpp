// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/attention/key_names_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/attention/query_tile_kernel.hpp>
#include <loopserve/dev/load_whole.hpp>

namespace loopserve {

/// Causal attention of a tile of a KV head's query rows over all keys that they see; `Attend` is how. Block (tile of rows, the last first, since they see most;
/// KV head; job).
template <class Attend>
struct dense_kernel {
  using element_type = typename Attend::element_type;
  using keys_of = detail::causal_keys<detail::causal_names<element_type, Attend::tile_keys>>;
  static constexpr int threads = Attend::threads;

  prefill_record<element_type> const* records;
  prefill_bounds most;

  index_t shared_bytes() const { return Attend::template shared_bytes<keys_of>(most.head_dim); }

  LOOPSERVE_DEVICE void operator()() const {
    auto const job = dev::load_whole(records + dev::block().z);
    int const kv_head = dev::block().y, group = job.heads / job.kv.kv_heads, all = job.rows * group;
    int const first = (dev::blocks().x - 1 - dev::block().x) * Attend::tile_rows;
    if (first >= all || kv_head >= job.kv.kv_heads) { return; }
    detail::query_tile const rows{kv_head * group, group, first, all - first < Attend::tile_rows ? all - first : Attend::tile_rows};
    auto const* const record = records + dev::block().z;
    Attend::attend(record, rows, keys_of(&record->kv, kv_head, rows.span(job)));
  }
};

}  // namespace loopserve
