// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <span>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/core/component.hpp>

namespace loopserve {

/// How attention is computed, for ragged batches: `prefill(jobs)` over spans of prefill_job (plan or dense), `decode(jobs)` over spans of decode_job, for
/// KV of any element type. A job's results are the same bits whatever else is in the batch. Meaning: loopserve/testing/attention_laws.hpp.
template <class A>
concept attention_backend = component<A> && requires(A a, std::span<prefill_job<float> const> prefill, std::span<decode_job<float> const> decode) {
  a.prefill(prefill);
  a.decode(decode);
};

}  // namespace loopserve
