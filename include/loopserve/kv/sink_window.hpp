// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/kv/cache_storage.hpp>
#include <loopserve/kv/kv_policy.hpp>

namespace loopserve {

struct sink_window_options {
  kv_budget budget = {};
  int sinks = 4;  ///< of the budget; the rest goes to the most recent tokens
};

/// The first few tokens and the most recent ones (StreamingLLM, arXiv 2309.17453), chosen once a turn.
template <class Backend>
class sink_window {
 public:
  using backend_type = Backend;
  using options = sink_window_options;

  explicit sink_window(Backend& backend, options o = {}) : backend_(&backend), options_(o) {
    check_budget(o.budget, "sink_window");
    check(o.sinks >= 0, "sink_window: sinks must not be negative");
  }

  template <class Element>
  void begin_turn(int layer, tensor_view<float const, 3>, kv_view<Element>) {
    if (static_cast<int>(due_.size()) <= layer) { due_.resize(static_cast<std::size_t>(layer) + 1); }
    due_[static_cast<std::size_t>(layer)] = 1;
  }
  void observe(int, tensor_view<float const, 2>) {}
  bool due(int layer) { return due_[static_cast<std::size_t>(layer)] != 0; }

  template <class Element>
  void choose(int layer, kv_view<Element> kv, kept_rows<Backend>& keep) {
    due_[static_cast<std::size_t>(layer)] = 0;
    int const context = kv.length();
    int const budget = options_.budget.at(context);
    if (budget >= context) { return keep.keep_all(); }
    keep_ends(*backend_, keep.lists(kv.kv_heads, std::max(1, budget)), context, std::min(options_.sinks, budget), budget);
  }

  kv_budget budget() const { return options_.budget; }
  void truncate(int) {}
  sink_window fork() const { return *this; }

  static index_t planned_bytes(cache_shape, int /*heads*/, options const&, int /*context*/) { return 0; }
  static index_t planned_rows(options const& o, int context) { return o.budget.at(context) < context ? o.budget.at(context) : 0; }

 private:
  Backend* backend_;
  options options_;
  std::vector<char> due_;  // (layers)
};

/// For every KV head the first `sinks` of `context` tokens and as many of the last as make `budget` together; budget < context.
inline void keep_ends(reference const&, kept_rows_view keep, int context, int sinks, int budget) {
  for (int h = 0; h < keep.kv_heads; ++h) {
    int* const rows = keep.rows + h * keep.stride;
    for (int i = 0; i < budget; ++i) { rows[i] = i < sinks ? i : context - budget + i; }
    keep.counts[h] = budget;
  }
}

}  // namespace loopserve
