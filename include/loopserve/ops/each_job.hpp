// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <loopserve/core/backend.hpp>

namespace loopserve {

/// Calls body(queue, job) for every job. The jobs know nothing of each other: what one writes no other touches. `queue` is what the body gives to operations, and asks
/// for their scratch, in the place of the backend: here that itself, on a device one that lets all jobs share launches (each_job.cuh). The results are those of
/// body(b, job) one after the other, to the bit.
template <class Host, class Job, class Body>
  requires(Host::space == memory_space::host)
void each_job(Host& b, std::span<Job> jobs, Body&& body) {
  for (auto& job : jobs) { body(b, job); }
}

}  // namespace loopserve
