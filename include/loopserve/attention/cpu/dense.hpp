// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include <loopserve/attention/cpu/prefill.hpp>
#include <loopserve/attention/dense.hpp>

namespace loopserve {

/// The cpu backend's: blocked over 64 lanes x 64 keys with an online softmax in float32. The query heads of a KV head share each conversion of its keys.
/// A row's bits depend on its job alone, not on the batch and not on the number of threads.
template <class Element>
void attend_dense(cpu const& b, std::span<prefill_job<Element> const> jobs) {
  std::vector<detail::stored_prefill_job> stored;
  for (auto const& job : jobs) {
    detail::check_prefill_job(job);
    stored.push_back({job.q, detail::stored_kv(job.kv), nullptr, {}, job.window, job.out});
  }
  detail::attend_prefill(b, stored);
}

}  // namespace loopserve
