// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <type_traits>

#include <loopserve/dev/batched.hpp>
#include <loopserve/ops/each_job.hpp>

namespace loopserve {

/// Scratch of a batch beyond which no further job joins it: 128 MiB. A choice of kept rows (32 query heads, 16 queries) takes 2 KiB for each token of its context, and at most some
/// 70 MiB: 32 layers share launches up to 2k tokens, 4 layers at 16k. From 32k on one layer's launches fill a GPU by themselves, and a
/// larger batch would only take memory from the cache.
inline constexpr index_t batch_scratch_bytes = index_t{1} << 27;

namespace detail {

template <class Batched, class Job, class Body>
void run_batches(Batched together, std::span<Job> jobs, Body& body, index_t scratch_bytes) {
  for (auto& job : jobs) {
    together.next_job();
    body(together, job);
    if (together.held_bytes() >= scratch_bytes) { together.run(); }
  }
  together.run();
}

}  // namespace detail

/// In batches, each of one chain of launches. Nothing waits, unless the body does. A batch ends after the job that takes its scratch to `scratch_bytes`, so it holds less than that
/// and one job's more.
template <device_backend B, class Job, class Body>
void each_job(B& b, std::span<Job> jobs, Body&& body, index_t scratch_bytes = batch_scratch_bytes) {
  detail::run_batches(batched<std::remove_const_t<B>>(b), jobs, body, scratch_bytes);
}

/// The same on `b`, a second queue beside `first`. Each batch comes behind all that is queued on `first` when it goes to the device: what the body asks of `first`, memory above all, is
/// there.
template <device_backend B, class Job, class Body>
void each_job_behind(B& b, B const& first, std::span<Job> jobs, Body&& body, index_t scratch_bytes = batch_scratch_bytes) {
  detail::run_batches(batched<B>(b, [&] { run_after(b, first); }), jobs, body, scratch_bytes);
}

}  // namespace loopserve
