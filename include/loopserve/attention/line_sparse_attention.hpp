// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <type_traits>

#include <loopserve/attention/attention_backend.hpp>
#include <loopserve/attention/decode.hpp>
#include <loopserve/attention/dense.hpp>
#include <loopserve/attention/line_sparse.hpp>

namespace loopserve {

class cpu;

namespace detail {
struct cpu_attention_overrides;  // complete where attention/cpu/cpu_attention.hpp is included
}

struct line_sparse_attention_options {};

/// The default attention: exact on each job's plan, dense where a job has none or the plan says so for a head.
template <class Backend>
class line_sparse_attention {
 public:
  using backend_type = Backend;
  using options = line_sparse_attention_options;

  explicit line_sparse_attention(Backend& backend, options = {}) : backend_(&backend) {
    // Without that header the calls below would quietly find the reference's loops: this does not compile then.
    using overrides = std::conditional_t<std::is_base_of_v<cpu, Backend>, detail::cpu_attention_overrides, Backend>;
    static_assert(sizeof(overrides) > 0, "attention on the cpu backend needs <loopserve/attention/cpu/cpu_attention.hpp>");
  }

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
