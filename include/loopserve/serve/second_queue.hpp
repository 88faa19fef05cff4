// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <optional>
#include <span>

#include <loopserve/core/backend.hpp>
#include <loopserve/ops/each_job.hpp>

namespace loopserve {

/// A queue of the same device beside the backend's own, made when it is first used. A backend has one where there are `beside(b)`, which makes it, and `run_after(later, earlier)`: what is
/// queued on the first from then on waits for what was queued on the second until then. Elsewhere its work is the backend's own.
template <class Backend>
class second_queue {
 public:
  explicit second_queue(Backend&) {}

  /// Runs each_job() beside what is queued on `main` later on, and behind what is queued now.
  template <class Job, class Body>
  void run(Backend& main, std::span<Job> jobs, Body&& body) {
    if constexpr (there_is) {
      if (jobs.empty()) { return; }
      if (!queue_) { queue_.emplace(beside(main)); }
      each_job_behind(*queue_, main, jobs, body);
    } else {
      each_job(main, jobs, body);
    }
  }

  /// What is queued on `main` from now on comes behind the jobs. A failure is left to the next call that may throw.
  void join(Backend& main) noexcept {
    if constexpr (there_is) {
      try {
        if (queue_) { run_after(main, *queue_); }
      } catch (...) {}  // the device has failed: what is queued on it next throws
    }
  }

 private:
  static constexpr bool there_is = requires(Backend const& b) {
    { beside(b) } -> std::same_as<Backend>;
  };
  std::optional<Backend> queue_;
};

}  // namespace loopserve
