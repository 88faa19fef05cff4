// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <limits>

#include <loopserve/core/error.hpp>
#include <loopserve/prefill/prefill_selector.hpp>

namespace loopserve {

/// `sinks` first tokens and the `local` last ones up to a row itself.
struct a_shape_options {
  int sinks = 128;
  int local = 3968;
};

/// The same lines for every head, whatever the input: sinks and a sliding window (StreamingLLM, arXiv 2309.17453). What it covers is not known.
template <class Backend>
class a_shape {
 public:
  using backend_type = Backend;
  using options = a_shape_options;

  explicit a_shape(Backend& backend, options o = {}) : backend_(&backend), options_(o) {
    check(o.sinks >= 0, "a_shape: sinks must not be negative");
    check(o.local >= 1, "a_shape: a row sees at least itself, local must be 1 or more");
  }

  template <class Element>
  void select(prefill_site, tensor_view<float const, 3>, kv_view<Element>, line_plan_view plan) {
    declare_a_shape(*backend_, plan, options_.sinks, options_.local);
  }

  static index_t planned_bytes(options const&, int /*heads*/, int /*rows*/, int /*keys*/, int /*threads*/) { return 0; }

 private:
  Backend* backend_;
  options options_;
};

/// Writes the first `sinks` verticals and the first `local` slashes for every head.
inline void declare_a_shape(reference const&, line_plan_view plan, int sinks, int local) {
  int const verticals = std::min(sinks, plan.keys);
  int const slashes = std::min(local, plan.keys);
  for (int h = 0; h < plan.heads; ++h) {
    plan.dense[h] = 0;
    plan.vertical_counts[h] = verticals;
    plan.slash_counts[h] = slashes;
    plan.covered[h] = std::numeric_limits<float>::quiet_NaN();
    for (int c = 0; c < verticals; ++c) { plan.verticals[h * plan.stride + c] = c; }
    for (int d = 0; d < slashes; ++d) { plan.slashes[h * plan.stride + d] = d; }
  }
}

}  // namespace loopserve
