// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/core/parallel.hpp>

namespace loopserve::detail {

/// Throws `error` where a job's tensors do not fit together.
template <class Element>
void check_prefill_job(prefill_job<Element> const& job) {
  for (int r = 0; r < 3; ++r) { check(job.q.extent(r) == job.out.extent(r), "prefill attention: out must have q's extents"); }
  if (job.q.extent(0) == 0) { return; }
  check(job.q.stride(2) == 1 && job.out.stride(2) == 1, "prefill attention: a head's elements must be contiguous");
  check(job.kv.kv_heads > 0 && job.q.extent(1) % job.kv.kv_heads == 0, "prefill attention: query heads must be a multiple of KV heads");
  check(job.q.extent(2) == job.kv.head_dim, "prefill attention: q and kv must have the same head_dim");
  check(job.q.extent(0) <= job.kv.length(), "prefill attention: the rows' own keys must be in the view");
}

/// The above, and that the plan is one for these rows.
template <class Element>
void check_planned_job(prefill_job<Element> const& job) {
  check_prefill_job(job);
  if (job.plan == nullptr) { return; }
  check(job.plan->heads == job.q.extent(1) && job.plan->rows == job.q.extent(0) && job.plan->keys == job.kv.length(),
        "prefill attention: the plan is for other rows, keys or heads");
}

/// One head's share of a job in a tile of rows.
struct row_tile {
  int job;
  int head;
  int first;  ///< row
  int count;
};

/// Cuts the rows of all (job, query head) into tiles, the longest jobs' like the shortest's; the cut depends on nothing else.
template <class Element>
std::vector<row_tile> row_tiles(std::span<prefill_job<Element> const> jobs, int rows_per_tile) {
  std::vector<row_tile> tiles;
  for (int j = 0; j < static_cast<int>(jobs.size()); ++j) {
    auto const& q = jobs[static_cast<std::size_t>(j)].q;
    auto const rows = static_cast<int>(q.extent(0));
    for (int h = 0; h < static_cast<int>(q.extent(1)); ++h) {
      for (int first = 0; first < rows; first += rows_per_tile) { tiles.push_back({j, h, first, std::min(rows_per_tile, rows - first)}); }
    }
  }
  return tiles;
}

/// The first key that the row at `position` sees.
constexpr int first_visible(int position, int window) { return window > 0 && position >= window ? position - window + 1 : 0; }

}  // namespace loopserve::detail
