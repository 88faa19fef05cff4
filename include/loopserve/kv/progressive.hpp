// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/kv/cache_storage.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/kv/layer_scores.hpp>
#include <loopserve/ops/copy.hpp>
#include <loopserve/ops/key_mass.hpp>
#include <loopserve/ops/top_k.hpp>

namespace loopserve {

struct progressive_options {
  kv_budget budget = {};                        ///< context tokens per KV head
  int interval = 16;                            ///< generated tokens between two choices, whose queries make the next one
  int sinks = 4;                                ///< first tokens that are always kept
  int recent = 0;                               ///< last tokens of the context that are always kept
  bool bootstrap = false;                       ///< choose at the first token already, by the last input rows; otherwise all is kept until `interval` tokens exist
  head_reduce reduce = head_reduce::mean;       ///< over the query heads of a KV head
  int pool = 1;                                 ///< > 1, odd: a token's score is the best of so many neighbours
  bool value_norm = false;                      ///< weigh attention by the length of the value
  bool beside = false;                          ///< choose beside a decode step, on a device on a second queue, and keep from the step after it: one token later
};

/// Phase 2 of LoopServe (arXiv 2507.13681): every `interval` generated tokens the kept set is chosen again from the whole context, by the attention that the
/// last `interval` output queries pay to it. Nothing is evicted for good.
template <class Backend>
class progressive {
 public:
  using backend_type = Backend;
  using options = progressive_options;
  static constexpr bool reselecting = true;  ///< a token left out returns when the output asks for it

  explicit progressive(Backend& backend, options o = {}) : backend_(&backend), options_(o) {
    check_budget(o.budget, "progressive");
    check(o.interval >= 1, "progressive: the interval is at least one token");
    check(o.sinks >= 0 && o.recent >= 0 && o.pool >= 1, "progressive: sinks and recent are not negative, pool is at least 1");
  }

  /// tail_queries (rows, heads, head_dim): the last input rows; kv: the context.
  template <class Element>
  void begin_turn(int layer, tensor_view<float const, 3> tail_queries, kv_view<Element> kv) {
    if (static_cast<int>(layers_.size()) <= layer) { layers_.resize(static_cast<std::size_t>(layer) + 1); }
    auto& s = at(layer);
    s.context = kv.length();
    s.budget = options_.budget.at(s.context);
    s.observed = 0;
    s.tail_rows = 0;
    if (!options_.bootstrap || s.budget >= s.context) { return; }
    auto const rows = std::min<index_t>(tail_queries.extent(0), s.context);
    auto const tail = tail_queries.rows(tail_queries.extent(0) - rows, rows);
    index_t const row = tail.extent(1) * tail.extent(2);
    if (s.tail.size() < rows * row) { s.tail = backend_->template make_buffer<float>(rows * row); }
    s.heads = static_cast<int>(tail.extent(1));
    s.head_dim = static_cast<int>(tail.extent(2));
    s.tail_rows = static_cast<int>(rows);
    if (tail.stride(0) == row && tail.stride(1) == tail.extent(2)) {
      copy_elements(*backend_, tail.data(), rows * row, s.tail.data());
    } else {
      for (index_t i = 0; i < rows; ++i) { copy_query(tail[i], s.tail.data() + i * row); }
    }
  }

  /// q (heads, head_dim)
  void observe(int layer, tensor_view<float const, 2> q) {
    auto& s = at(layer);
    if (s.budget >= s.context) { return; }
    s.heads = static_cast<int>(q.extent(0));
    s.head_dim = static_cast<int>(q.extent(1));
    index_t const row = q.extent(0) * q.extent(1);
    if (s.queries.size() < halves(options_) * options_.interval * row) { s.queries = backend_->template make_buffer<float>(halves(options_) * options_.interval * row); }
    copy_query(q, s.queries.data() + (s.half * options_.interval + s.observed % options_.interval) * row);
    ++s.observed;
  }

  bool due(int layer) {
    auto const& s = at(layer);
    return s.budget < s.context && (s.tail_rows > 0 || s.observed >= options_.interval);
  }

  template <class Element>
  void choose(int layer, kv_view<Element> kv, kept_rows<Backend>& keep) {
    choose_on(*backend_, layer, kv, keep);
  }

  template <class Queue, class Element>
  void choose_on(Queue& queue, int layer, kv_view<Element> kv, kept_rows<Backend>& keep) {
    auto& s = at(layer);
    if (s.budget >= s.context) { return keep.keep_all(); }
    key_mass_options how;
    how.reduce = options_.reduce;
    how.pool = options_.pool;
    how.value_norm = options_.value_norm;
    how.tail = s.tail_rows > 0;
    typename Queue::template buffer<float> scratch;
    auto const mass = scores_.room(queue, scratch, kv.kv_heads, kv.length());
    key_mass(queue, how.tail ? tensor_view<float const, 3>(s.tail.data(), {s.tail_rows, s.heads, s.head_dim}) : queries(layer), kv, how, mass);
    choose_by(queue, layer, mass, keep);
  }

  /// The queries that the next choice is made by, (n, heads, head_dim); none where that is the bootstrap, which looks at the input.
  tensor_view<float const, 3> queries(int layer) const {
    auto const& s = layers_[static_cast<std::size_t>(layer)];
    return {s.queries.data() + index_t{s.half} * options_.interval * s.heads * s.head_dim, {s.tail_rows > 0 ? 0 : std::min(s.observed, options_.interval), s.heads, s.head_dim}};
  }

  /// choose_on() by scores (kv_heads, context) that somebody else has made; they are changed.
  template <class Queue>
  void choose_by(Queue& queue, int layer, tensor_view<float, 2> mass, kept_rows<Backend>& keep) {
    auto& s = at(layer);
    s.tail_rows = 0;
    s.observed = 0;
    if (options_.beside) { s.half = 1 - s.half; }  // the queries that this choice reads stay while the step goes on
    auto const sinks = std::min(options_.sinks, s.budget);
    force_ends(queue, mass, sinks, std::min(options_.recent, s.budget - sinks));
    top_k(queue, mass, s.budget, -std::numeric_limits<float>::infinity(), keep.lists(static_cast<int>(mass.extent(0)), std::max(1, s.budget)));
  }

  bool beside() const { return options_.beside; }
  void adopt(int) {}

  kv_budget budget() const { return options_.budget; }

  /// Whatever was observed belongs to an answer that is gone; the next begin_turn starts afresh.
  void truncate(int) {
    for (auto& s : layers_) { s.observed = s.tail_rows = 0; }
  }

  progressive fork() const {
    progressive copy(*backend_, options_);
    for (auto const& s : layers_) {
      layer_state t;
      t.context = s.context;
      t.budget = s.budget;
      t.observed = s.observed;
      t.half = s.half;
      t.tail_rows = s.tail_rows;
      t.heads = s.heads;
      t.head_dim = s.head_dim;
      t.queries = duplicate(*backend_, s.queries);
      t.tail = duplicate(*backend_, s.tail);
      copy.layers_.push_back(std::move(t));
    }
    return copy;
  }

  /// Queries of all layers and, where choices follow each other, one layer's scores.
  static index_t planned_bytes(cache_shape shape, int heads, options const& o, int context) {
    if (o.budget.at(context) >= context) { return 0; }
    index_t const queries = index_t{shape.layers} * heads * shape.head_dim * (halves(o) * o.interval + (o.bootstrap ? std::min(64, context) : 0));
    return (queries + (Backend::space == memory_space::host ? index_t{shape.kv_heads} * context : 0)) * index_t{sizeof(float)};
  }
  static index_t planned_rows(options const& o, int context) { return o.budget.at(context) < context ? o.budget.at(context) : 0; }
  /// Of a choice that is made beside a step.
  static index_t planned_next_rows(options const& o, int context) { return o.beside ? planned_rows(o, context) : 0; }

 private:
  static int halves(options const& o) { return o.beside ? 2 : 1; }

  struct layer_state {
    int context = 0;
    int budget = 0;
    int observed = 0;   // queries since the last choice
    int half = 0;       // of `queries`, that these lie in
    int tail_rows = 0;  // > 0: the next choice is the bootstrap
    int heads = 0;
    int head_dim = 0;
    typename Backend::template buffer<float> queries;  // (halves, interval, heads, head_dim): a ring, or two
    typename Backend::template buffer<float> tail;     // (tail_rows, heads, head_dim)
  };

  layer_state& at(int layer) {
    check(layer >= 0 && layer < static_cast<int>(layers_.size()), "a KV policy is asked about a layer whose turn has not begun");
    return layers_[static_cast<std::size_t>(layer)];
  }

  void copy_query(tensor_view<float const, 2> q, float* to) {
    if (q.stride(0) == q.extent(1)) { return copy_elements(*backend_, q.data(), q.extent(0) * q.extent(1), to); }
    for (index_t h = 0; h < q.extent(0); ++h) { copy_elements(*backend_, q.data() + h * q.stride(0), q.extent(1), to + h * q.extent(1)); }
  }

  Backend* backend_;
  options options_;
  std::vector<layer_state> layers_;
  layer_scores<Backend> scores_;
};

static_assert(overlapping_policy<progressive<reference>>);

}  // namespace loopserve
