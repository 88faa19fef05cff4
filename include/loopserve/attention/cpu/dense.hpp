// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include <loopserve/attention/cpu/prefill_tiles.hpp>
#include <loopserve/attention/dense.hpp>

namespace loopserve {

/// The cpu backend's: blocked over 64 lanes x 64 keys with an online softmax in float32. The query heads of a KV head share each conversion of its keys.
/// A row's bits depend on its job alone, not on the batch and not on the number of threads.
template <class Element>
void attend_dense(cpu const& b, std::span<prefill_job<Element> const> jobs) {
  std::vector<detail::head_rows> rows;
  index_t all_lanes = 0;
  for (int j = 0; j < static_cast<int>(jobs.size()); ++j) {
    auto const& job = jobs[static_cast<std::size_t>(j)];
    detail::check_prefill_job(job);
    if (job.q.extent(0) == 0) { continue; }
    int const group = static_cast<int>(job.q.extent(1)) / job.kv.kv_heads;
    all_lanes += job.q.extent(0) * job.q.extent(1);
    for (int h = 0; h < job.kv.kv_heads; ++h) {
      rows.push_back({j, h, {}});
      for (int g = 0; g < group; ++g) { rows.back().heads.push_back(h * group + g); }
    }
  }
  std::vector<detail::work_unit> units;
  for (int r = 0; r < static_cast<int>(rows.size()); ++r) {
    auto const& of = rows[static_cast<std::size_t>(r)];
    int const lanes = static_cast<int>(jobs[static_cast<std::size_t>(of.job)].q.extent(0)) * static_cast<int>(of.heads.size());
    detail::add_units(units, r, lanes, detail::tiles_together(all_lanes, b.threads()));
  }
  parallel_for(b.threads(), static_cast<index_t>(units.size()), [&](index_t u) {
    auto const& unit = units[static_cast<std::size_t>(u)];
    auto const& of = rows[static_cast<std::size_t>(unit.rows_of)];
    detail::attend_unit_dense(b, jobs[static_cast<std::size_t>(of.job)], of, unit);
  });
}

}  // namespace loopserve
