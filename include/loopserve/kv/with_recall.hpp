// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/kv/cache_storage.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/kv/layer_scores.hpp>
#include <loopserve/kv/sketch_cache.hpp>
#include <loopserve/ops/key_sketch.hpp>
#include <loopserve/ops/top_k.hpp>

namespace loopserve {

/// `Options` are those of the wrapped policy; its own budget and bootstrap are overruled.
template <class Options>
struct with_recall_settings {
  kv_budget budget = {};      ///< context tokens per KV head, the wrapped policy's among them
  double core_share = 0.5;    ///< of the budget that the wrapped policy holds
  int bits = 2;               ///< of a sketched key's channel: 1, 2 or 4
  Options core = {};          ///< of the wrapped policy
  float mass = 0;             ///< > 0: recall only tokens that score more (attention summed over the query heads of a KV head); the budget is then a bound
  bool sketch_core = false;   ///< a wrapped policy that can, chooses by the sketch too: no full key is read for it
};

template <class Policy>
using with_recall_options = with_recall_settings<typename Policy::options>;

/// Wraps a KV policy: at every token, the context tokens that this very query asks for join the wrapped policy's (the core), as far as the budget goes.
/// They are found by a sketch of the keys in few bits and attended with their true keys and values. Where the core can bootstrap, it does.
/// (Beyond LoopServe's paper; few-bit keys for retrieval: FIER, arXiv 2508.08256.)
template <class Policy>
class with_recall {
 public:
  using backend_type = typename Policy::backend_type;
  using options = with_recall_options<Policy>;
  static constexpr bool recalling = true;    ///< what only the current query asks for is attended in that step
  static constexpr bool reselecting = true;  ///< so a token left out returns when the output asks for it

  explicit with_recall(backend_type& backend, options o = {}) : backend_(&backend), options_(checked(std::move(o))), core_(backend, core_options(options_)) {
    int const bits = options_.bits;
    check(bits == 1 || bits == 2 || bits == 4, "with_recall: a sketch has 1, 2 or 4 bits");
    check(options_.core_share >= 0 && options_.core_share <= 1, "with_recall: core_share lies between 0 and 1");
  }

  template <class Element>
  void begin_turn(int layer, tensor_view<float const, 3> tail_queries, kv_view<Element> kv) {
    while (static_cast<int>(layers_.size()) <= layer) { layers_.emplace_back(*backend_, options_.bits); }
    auto& s = at(layer);
    s.context = kv.length();
    s.budget = options_.budget.at(s.context);
    s.core.keep_all();
    core_.begin_turn(layer, tail_queries, kv);
    if (s.budget < s.context) { s.sketch.grow(kv); }
  }

  void observe(int layer, tensor_view<float const, 2> q) { core_.observe(layer, q); }
  bool due(int layer) { return at(layer).budget < at(layer).context && core_.due(layer); }

  /// The core alone.
  template <class Element>
  void choose(int layer, kv_view<Element> kv, kept_rows<backend_type>& keep) {
    choose_core(*backend_, layer, kv, keep);
    take_over(layer);
  }

  template <class Queue, class Element>
  void choose_on(Queue& queue, int layer, kv_view<Element> kv, kept_rows<backend_type>& keep)
    requires batched_policy<Policy>
  {
    choose_core(queue, layer, kv, keep);
  }

  bool beside() const
    requires overlapping_policy<Policy>
  {
    return core_.beside();
  }
  void adopt(int layer)
    requires overlapping_policy<Policy>
  {
    core_.adopt(layer);
    take_over(layer);
  }

  /// The core and what `q` (heads, head_dim) asks for; everything before the core's first choice.
  template <class Element>
  void recall(int layer, tensor_view<float const, 2> q, kv_view<Element> kv, kept_rows<backend_type>& keep) {
    auto& s = at(layer);
    if (s.budget >= s.context || s.core.all()) { return keep.keep_all(); }
    typename backend_type::template buffer<float> scratch;
    auto const found = scores_.room(*backend_, scratch, kv.kv_heads, kv.length());
    sketch_scores(*backend_, tensor_view<float const, 3>(q.data(), {1, q.extent(0), q.extent(1)}, {0, q.stride(0), q.stride(1)}), kv, s.sketch.view(), found);
    force_rows(*backend_, found, s.core.view());
    float const least = options_.mass > 0 ? options_.mass : -std::numeric_limits<float>::infinity();
    top_k(*backend_, found, s.budget, least, keep.lists(kv.kv_heads, std::max(1, s.budget)));
  }

  kv_budget budget() const { return options_.budget; }

  void truncate(int tokens) {
    core_.truncate(tokens);
    for (auto& s : layers_) {
      s.sketch.truncate(tokens);
      s.core.keep_all();
    }
  }

  with_recall fork() const {
    with_recall copy(*backend_, options_, core_.fork());
    for (auto const& s : layers_) {
      layer_state t(*backend_, options_.bits);
      t.context = s.context;
      t.budget = s.budget;
      t.sketch = s.sketch.copy();
      if (!s.core.all()) {
        auto const core = const_cast<layer_state&>(s).core.view();
        copy_kept(*backend_, core, t.core.lists(core.kv_heads, static_cast<int>(core.stride)));
      }
      copy.layers_.push_back(std::move(t));
    }
    return copy;
  }

  /// The sketch of one layer as it stands.
  key_sketch_view sketch(int layer) const { return layers_[static_cast<std::size_t>(layer)].sketch.view(); }

  static index_t planned_bytes(cache_shape shape, int heads, options const& o, int context) {
    int const budget = o.budget.at(context);
    if (budget >= context) { return 0; }
    return Policy::planned_bytes(shape, heads, core_options(o), context) + index_t{shape.kv_heads} * context * index_t{sizeof(float)} +
           shape.layers * (sketch_cache<backend_type>::bytes_for(shape.kv_heads, shape.head_dim, o.bits, context / sketch_group) +
                           kept_rows<backend_type>::planned_bytes(shape.kv_heads, Policy::planned_rows(core_options(o), context)) +
                           next_bytes(shape, planned_next_rows(o, context)));
  }
  static index_t planned_rows(options const& o, int context) { return o.budget.at(context) < context ? o.budget.at(context) : 0; }
  static index_t planned_next_rows(options const& o, int context) {
    if constexpr (requires { Policy::planned_next_rows(o.core, context); }) { return planned_rows(o, context) > 0 ? Policy::planned_next_rows(core_options(o), context) : 0; }
    return 0;
  }

 private:
  struct layer_state {
    layer_state(backend_type& backend, int bits) : sketch(backend, bits), core(backend), next(backend) {}
    int context = 0;
    int budget = 0;
    sketch_cache<backend_type> sketch;
    kept_rows<backend_type> core;
    kept_rows<backend_type> next;  // beside a step: what will be the core
  };

  with_recall(backend_type& backend, options const& o, Policy core) : backend_(&backend), options_(o), core_(std::move(core)) {}

  /// Before the wrapped policy sees its part of the budget, so that the error names this policy.
  static options checked(options o) {
    check_budget(o.budget, "with_recall");
    return o;
  }

  static typename Policy::options core_options(options const& o) {
    auto core = o.core;
    if constexpr (requires { core.budget = o.budget; }) { core.budget = o.budget.scaled(o.core_share); }
    if constexpr (requires { core.bootstrap = true; }) { core.bootstrap = true; }
    return core;
  }

  static index_t next_bytes(cache_shape shape, index_t rows) { return rows > 0 ? kept_rows<backend_type>::planned_bytes(shape.kv_heads, rows) : 0; }

  layer_state& at(int layer) {
    check(layer >= 0 && layer < static_cast<int>(layers_.size()), "a KV policy is asked about a layer whose turn has not begun");
    return layers_[static_cast<std::size_t>(layer)];
  }

  bool is_beside() const {
    if constexpr (overlapping_policy<Policy>) { return core_.beside(); }
    return false;
  }
  void take_over(int layer) {
    if (is_beside() && at(layer).budget < at(layer).context) { std::swap(at(layer).core, at(layer).next); }
  }

  template <class Queue, class Element>
  void choose_core(Queue& queue, int layer, kv_view<Element> kv, kept_rows<backend_type>& keep) {
    auto& s = at(layer);
    if (s.budget >= s.context) { return keep.keep_all(); }
    auto& chosen = is_beside() ? s.next : s.core;
    if (!chosen_by_sketch(queue, layer, kv, chosen)) {
      if constexpr (batched_policy<Policy>) {
        core_.choose_on(queue, layer, kv, chosen);
      } else {
        core_.choose(layer, kv, chosen);
      }
    }
    if (chosen.all()) { return keep.keep_all(); }
    auto const core = chosen.view();
    copy_kept(queue, core, keep.lists(core.kv_heads, static_cast<int>(core.stride)));
  }

  template <class Queue, class Element>
  bool chosen_by_sketch(Queue& queue, int layer, kv_view<Element> kv, kept_rows<backend_type>& chosen) {
    if constexpr (requires(tensor_view<float, 2> found, kept_rows<backend_type>& keep) {
                    core_.queries(layer);
                    core_.choose_by(queue, layer, found, keep);
                  }) {
      auto const queries = core_.queries(layer);
      if (!options_.sketch_core || queries.extent(0) == 0) { return false; }
      typename Queue::template buffer<float> scratch;
      auto const found = scores_.room(queue, scratch, kv.kv_heads, kv.length());
      sketch_scores(queue, queries, kv, at(layer).sketch.view(), found);
      core_.choose_by(queue, layer, found, chosen);
      return true;
    } else {
      return false;
    }
  }

  backend_type* backend_;
  options options_;
  Policy core_;
  std::vector<layer_state> layers_;
  layer_scores<backend_type> scores_;
};

}  // namespace loopserve
