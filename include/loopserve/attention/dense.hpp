// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <numeric>
#include <span>
#include <vector>

#include <loopserve/attention/attend_keys.hpp>
#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/attention/prefill_rows.hpp>
#include <loopserve/core/backend.hpp>

namespace loopserve {

/// Exact causal softmax attention of each job's rows over everything that they see (inside the window where there is one); plans are not read.
/// Sums in float64. Throws `error` where shapes do not fit.
template <class Element>
void attend_dense(reference const& b, std::span<prefill_job<Element> const> jobs) {
  for (auto const& job : jobs) { detail::check_prefill_job(job); }
  auto const tiles = detail::row_tiles(jobs, 16);
  parallel_for(b.threads(), static_cast<index_t>(tiles.size()), [&](index_t t) {
    auto const tile = tiles[static_cast<std::size_t>(t)];
    auto const& job = jobs[static_cast<std::size_t>(tile.job)];
    int const history = job.kv.length() - static_cast<int>(job.q.extent(0));
    int const kv_head = tile.head / (static_cast<int>(job.q.extent(1)) / job.kv.kv_heads);
    std::vector<int> keys(static_cast<std::size_t>(history + tile.first + tile.count));
    std::iota(keys.begin(), keys.end(), 0);
    for (int i = tile.first; i < tile.first + tile.count; ++i) {
      int const position = history + i;
      int const first = detail::first_visible(position, job.window);
      detail::attend_keys row(&job.q(i, tile.head, 0), job.kv.head_dim);
      row.add(job.kv, kv_head, {keys.data() + first, static_cast<std::size_t>(position + 1 - first)});
      row.write(&job.out(i, tile.head, 0));
    }
  });
}

}  // namespace loopserve
