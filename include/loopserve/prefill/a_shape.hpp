// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <limits>

#include <loopserve/core/backend.hpp>
#include <loopserve/prefill/prefill_selector.hpp>

namespace loopserve {

/// Every head keeps verticals 0 .. sinks - 1 and slashes 0 .. local - 1; nothing is known of the mass they cover.
inline void declare_a_shape(reference const&, line_plan_view plan, int sinks, int local) {
  sinks = std::min(sinks, plan.keys);
  local = std::min(local, plan.keys);
  for (int h = 0; h < plan.heads; ++h) {
    for (int i = 0; i < sinks; ++i) { plan.verticals[h * plan.stride + i] = i; }
    for (int i = 0; i < local; ++i) { plan.slashes[h * plan.stride + i] = i; }
    plan.vertical_counts[h] = sinks;
    plan.slash_counts[h] = local;
    plan.dense[h] = 0;
    plan.covered[h] = std::numeric_limits<float>::quiet_NaN();
  }
}

struct a_shape_options {
  int sinks = 128;   ///< first tokens that every row sees
  int local = 3968;  ///< a row sees its own token and the local - 1 before it; at least 1
};

/// Sinks and a sliding window (StreamingLLM, arXiv 2309.17453, as a prefill pattern: MInference, 2407.02490).
template <class Backend>
class a_shape {
 public:
  using backend_type = Backend;
  using options = a_shape_options;

  explicit a_shape(Backend& backend, options o = {}) : backend_(&backend), options_(o) {
    check(o.sinks >= 0 && o.local >= 1, "a_shape: sinks must be at least 0 and local at least 1");
  }

  /// Scratch memory of one selection.
  static constexpr index_t planned_bytes(options const&, int /*heads*/, int /*rows*/, int /*keys*/, int /*threads*/) { return 0; }

  template <class Element>
  void select(prefill_site, tensor_view<float const, 3>, kv_view<Element>, line_plan_view plan) {
    if (plan.keys <= options_.sinks + options_.local) {
      declare_dense(*backend_, plan);
    } else {
      declare_a_shape(*backend_, plan, options_.sinks, options_.local);
    }
  }

 private:
  Backend* backend_;
  options options_;
};

static_assert(prefill_selector<a_shape<reference>>);

}  // namespace loopserve
