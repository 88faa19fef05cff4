// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>

#include <loopserve/attention/attention_backend.hpp>
#include <loopserve/attention/attention_overrides.hpp>
#include <loopserve/attention/decode.hpp>
#include <loopserve/attention/dense.hpp>
#include <loopserve/attention/line_sparse.hpp>

namespace loopserve {

struct line_sparse_attention_options {};

/// The default attention: exact on each job's plan, dense where a job has none or the plan says so for a head.
template <class Backend>
class line_sparse_attention {
 public:
  using backend_type = Backend;
  using options = line_sparse_attention_options;

  explicit line_sparse_attention(Backend& backend, options = {}) : backend_(&backend) { detail::require_attention_overrides<Backend>(); }

  template <class Element>
  void prefill(std::span<prefill_job<Element> const> jobs) {
    if (std::any_of(jobs.begin(), jobs.end(), [](auto const& job) { return job.plan != nullptr; })) {
      attend_lines(*backend_, jobs);
    } else {
      attend_dense(*backend_, jobs);
    }
  }

  template <class Element>
  void decode(std::span<decode_job<Element> const> jobs) {
    attend_decode(*backend_, jobs);
  }

 private:
  Backend* backend_;
};

static_assert(attention_backend<line_sparse_attention<reference>>);

}  // namespace loopserve
