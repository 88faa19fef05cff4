// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include <loopserve/attention/attend_keys.hpp>
#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/attention/prefill_rows.hpp>
#include <loopserve/core/backend.hpp>

namespace loopserve {

namespace detail {

/// The keys >= `first` that head `h`'s plan keeps for the row at `position`, ascending, each once.
inline void keys_of_row(line_plan_view plan, int h, int position, int first, std::vector<int>& keys) {
  keys.clear();
  if (plan.dense[h] != 0) {
    for (int k = first; k <= position; ++k) { keys.push_back(k); }
    return;
  }
  int const* v = plan.verticals + h * plan.stride;
  int const* const v_end = v + plan.vertical_counts[h];
  int const* const slashes = plan.slashes + h * plan.stride;
  int s = plan.slash_counts[h] - 1;  // the longest offset is the lowest key
  while (s >= 0 && slashes[s] > position) { --s; }
  while (s >= 0 || (v != v_end && *v <= position)) {
    int const from_slash = s >= 0 ? position - slashes[s] : position + 1;
    int const from_vertical = v != v_end && *v <= position ? *v : position + 1;
    int const key = from_slash < from_vertical ? from_slash : from_vertical;
    s -= from_slash == key ? 1 : 0;
    v += from_vertical == key ? 1 : 0;
    if (key >= first) { keys.push_back(key); }
  }
}

}  // namespace detail

/// Exact softmax attention restricted to each job's plan: a cell that several lines cover counts once. Heads that the plan declares dense, and jobs without a
/// plan, attend to everything they see; a window cuts a plan too. A row that is left without a key is zero.
/// Sums in float64. Throws `error` where shapes do not fit. Source: LoopServe, arXiv 2507.13681, section on online sparsification.
template <class Element>
void attend_lines(reference const& b, std::span<prefill_job<Element> const> jobs) {
  for (auto const& job : jobs) { detail::check_planned_job(job); }
  auto const tiles = detail::row_tiles(jobs, 16);
  parallel_for(b.threads(), static_cast<index_t>(tiles.size()), [&](index_t t) {
    auto const tile = tiles[static_cast<std::size_t>(t)];
    auto const& job = jobs[static_cast<std::size_t>(tile.job)];
    int const history = job.kv.length() - static_cast<int>(job.q.extent(0));
    int const kv_head = tile.head / (static_cast<int>(job.q.extent(1)) / job.kv.kv_heads);
    unsigned char all = 1;
    line_plan_view everything;
    everything.dense = &all;
    std::vector<int> keys;
    for (int i = tile.first; i < tile.first + tile.count; ++i) {
      int const position = history + i;
      int const first = detail::first_visible(position, job.window);
      if (job.plan != nullptr) {
        detail::keys_of_row(*job.plan, tile.head, position, first, keys);
      } else {
        detail::keys_of_row(everything, 0, position, first, keys);
      }
      detail::attend_keys row(&job.q(i, tile.head, 0), job.kv.head_dim);
      row.add(job.kv, kv_head, keys);
      row.write(&job.out(i, tile.head, 0));
    }
  });
}

}  // namespace loopserve
