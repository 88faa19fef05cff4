// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include <loopserve/attention/cpu/prefill.hpp>
#include <loopserve/attention/line_sparse.hpp>

namespace loopserve {

/// The cpu backend's: exact on the plan, in tiles of 64 rows. What costs more than a tile's cell is chosen around: slashes close together are bands, in which the
/// offsets that the plan lacks are masked; the others are attended row by row.
/// A row's bits depend on its job alone, not on the batch and not on the number of threads.
template <class Element>
void attend_lines(cpu const& b, std::span<prefill_job<Element> const> jobs) {
  std::vector<detail::stored_prefill_job> stored;
  for (auto const& job : jobs) {
    detail::check_planned_job(job);
    stored.push_back({job.q, detail::stored_kv(job.kv), job.plan, detail::slash_kernels_for<Element>(b.isa_level()), job.window, job.out});
  }
  detail::attend_prefill(b, stored);
}

}  // namespace loopserve
