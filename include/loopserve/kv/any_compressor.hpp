// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include <loopserve/core/error.hpp>
#include <loopserve/kv/keep_all.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/kv/progressive.hpp>
#include <loopserve/kv/sink_window.hpp>
#include <loopserve/kv/with_recall.hpp>

namespace loopserve {

/// The numbers that these policies share; each reads those that it has. For the others name the policy's type in the engine's configuration.
struct any_compressor_options {
  std::string name = "with_recall:progressive";  ///< keep_all, sink_window, progressive, with_recall:progressive or with_recall:sink_window
  kv_budget budget = {};
  int interval = progressive_options{}.interval;                             ///< of progressive, in tokens
  int bits = with_recall_settings<progressive_options>{}.bits;               ///< of recall's sketch
  double core_share = with_recall_settings<progressive_options>{}.core_share;  ///< of the budget, in with_recall
  bool beside = progressive_options{}.beside;                                ///< of progressive: choose beside a decode step
};

/// A KV policy chosen by name at run time. Any other name is an error that lists those it knows.
template <class Backend>
class any_compressor {
  template <class F>
  decltype(auto) visit(F&& f) {
    return std::visit(std::forward<F>(f), policy_);
  }

 public:
  using backend_type = Backend;
  using options = any_compressor_options;

  explicit any_compressor(Backend& backend, options const& o = {}) : policy_(make(backend, o)) {}

  template <class Element>
  void begin_turn(int layer, tensor_view<float const, 3> tail, kv_view<Element> kv) {
    visit([&](auto& p) { p.begin_turn(layer, tail, kv); });
  }
  void observe(int layer, tensor_view<float const, 2> q) {
    visit([&](auto& p) { p.observe(layer, q); });
  }
  bool due(int layer) {
    return visit([&](auto& p) { return p.due(layer); });
  }
  template <class Element>
  void choose(int layer, kv_view<Element> kv, kept_rows<Backend>& keep) {
    visit([&](auto& p) { p.choose(layer, kv, keep); });
  }
  /// choose() itself where the chosen policy is no batched_policy.
  template <class Queue, class Element>
  void choose_on(Queue& queue, int layer, kv_view<Element> kv, kept_rows<Backend>& keep) {
    visit([&](auto& p) {
      if constexpr (batched_policy<std::decay_t<decltype(p)>>) {
        p.choose_on(queue, layer, kv, keep);
      } else {
        p.choose(layer, kv, keep);
      }
    });
  }
  /// No and nothing where the chosen policy is no overlapping_policy.
  bool beside() const {
    return std::visit(
        [](auto const& p) {
          if constexpr (overlapping_policy<std::decay_t<decltype(p)>>) { return p.beside(); }
          return false;
        },
        policy_);
  }
  void adopt(int layer) {
    visit([&](auto& p) {
      if constexpr (overlapping_policy<std::decay_t<decltype(p)>>) { p.adopt(layer); }
    });
  }
  /// Nothing where the chosen policy does not recall.
  template <class Element>
  void recall(int layer, tensor_view<float const, 2> q, kv_view<Element> kv, kept_rows<Backend>& keep) {
    visit([&](auto& p) {
      if constexpr (recalling_policy<std::decay_t<decltype(p)>>) { p.recall(layer, q, kv, keep); }
    });
  }
  kv_budget budget() const {
    return std::visit([](auto const& p) { return p.budget(); }, policy_);
  }
  void truncate(int tokens) {
    visit([&](auto& p) { p.truncate(tokens); });
  }
  any_compressor fork() const {
    return any_compressor(std::visit([](auto const& p) { return variant(p.fork()); }, policy_));
  }

  static index_t planned_bytes(cache_shape shape, int heads, options const& o, int context) {
    return chosen(o, [&](auto type, auto const& inner) { return decltype(type)::type::planned_bytes(shape, heads, inner, context); });
  }
  static index_t planned_next_rows(options const& o, int context) {
    return chosen(o, [&](auto type, auto const& inner) -> index_t {
      if constexpr (requires { decltype(type)::type::planned_next_rows(inner, context); }) { return decltype(type)::type::planned_next_rows(inner, context); }
      return 0;
    });
  }
  static index_t planned_rows(options const& o, int context) {
    return chosen(o, [&](auto type, auto const& inner) { return static_cast<index_t>(decltype(type)::type::planned_rows(inner, context)); });
  }

 private:
  using variant = std::variant<keep_all<Backend>, sink_window<Backend>, progressive<Backend>, with_recall<progressive<Backend>>,
                               with_recall<sink_window<Backend>>>;

  explicit any_compressor(variant policy) : policy_(std::move(policy)) {}

  template <class Inner>
  static with_recall_settings<Inner> recalling(options const& o, Inner inner) {
    with_recall_settings<Inner> r;
    r.budget = o.budget;
    r.core_share = o.core_share;
    r.bits = o.bits;
    r.core = inner;
    return r;
  }

  /// Calls `f(std::type_identity<Policy>, its options)` for the policy that is named.
  template <class F>
  static auto chosen(options const& o, F&& f) {
    sink_window_options window;
    window.budget = o.budget;
    progressive_options again;
    again.budget = o.budget;
    again.interval = o.interval;
    again.beside = o.beside;
    if (o.name == "keep_all") { return f(std::type_identity<keep_all<Backend>>{}, keep_all_options{}); }
    if (o.name == "sink_window") { return f(std::type_identity<sink_window<Backend>>{}, window); }
    if (o.name == "progressive") { return f(std::type_identity<progressive<Backend>>{}, again); }
    if (o.name == "with_recall:progressive") { return f(std::type_identity<with_recall<progressive<Backend>>>{}, recalling(o, again)); }
    if (o.name == "with_recall:sink_window") { return f(std::type_identity<with_recall<sink_window<Backend>>>{}, recalling(o, window)); }
    throw error("there is no KV policy '" + o.name + "': expected keep_all, sink_window, progressive, with_recall:progressive or with_recall:sink_window");
  }

  static variant make(Backend& backend, options const& o) {
    return chosen(o, [&](auto type, auto const& inner) { return variant(typename decltype(type)::type(backend, inner)); });
  }

  variant policy_;
};

}  // namespace loopserve
