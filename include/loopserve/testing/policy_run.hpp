// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/attention/decode.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/kv/working_set.hpp>
#include <loopserve/ops/top_k.hpp>
#include <loopserve/testing/backend_memory.hpp>
#include <loopserve/testing/host_kv.hpp>
#include <loopserve/testing/law.hpp>

namespace loopserve::testing {

/// What a policy kept for one token in one layer: a list for each KV head, or nothing for the whole context.
using kept_lists = std::optional<std::vector<std::vector<int>>>;

/// What the lists hold, wherever they lie.
template <class Backend>
kept_lists lists_of(Backend& b, kept_rows<Backend>& keep) {
  if (keep.all()) { return std::nullopt; }
  std::vector<std::vector<int>> lists;
  auto const view = keep.view();
  auto const counts = downloaded(b, view.counts, view.kv_heads);
  for (int h = 0; h < view.kv_heads; ++h) { lists.push_back(downloaded(b, view.rows + h * view.stride, counts[static_cast<std::size_t>(h)])); }
  return lists;
}

/// The shape of the policy laws' little model.
struct policy_case {
  int layers = 2;
  int heads = 4;
  int kv_heads = 2;
  int head_dim = 16;
  int context = 200;
  std::uint64_t seed = 1;
};

/// Drives one policy as the engine does: a context in every layer, then generated tokens one by one.
template <kv_policy Policy, class Element>
class policy_run {
 public:
  using backend_type = typename Policy::backend_type;

  policy_run(backend_type& b, Policy policy, policy_case c) : case_(c), backend_(&b), policy_(std::move(policy)) {
    for (int l = 0; l < c.layers; ++l) {
      keep_.emplace_back(b);
      contexts_.emplace_back(c.context, c.kv_heads, c.head_dim).fill(c.seed * 100 + static_cast<std::uint64_t>(l), 1.5);
      there_.emplace_back();
    }
  }

  /// The same policy state and context from here on, apart.
  policy_run fork() const {
    policy_run copy(*backend_, policy_.fork(), case_);
    copy.contexts_ = contexts_;
    for (std::size_t l = 0; l < keep_.size(); ++l) {
      auto& from = const_cast<kept_rows<backend_type>&>(keep_[l]);
      if (from.all()) { continue; }
      auto const lists = from.view();
      copy_kept(*backend_, lists, copy.keep_[l].lists(lists.kv_heads, static_cast<int>(lists.stride)));
    }
    return copy;
  }

  /// The host's, to be read and changed: a view that kv() gave before is no longer good.
  host_kv<Element>& context(int layer) {
    there_[static_cast<std::size_t>(layer)].reset();
    return contexts_[static_cast<std::size_t>(layer)];
  }
  /// The backend's.
  kv_view<Element> kv(int layer) {
    auto const at = static_cast<std::size_t>(layer);
    if (!there_[at]) { there_[at].emplace(*backend_, contexts_[at].view()); }
    return there_[at]->view();
  }
  Policy& policy() { return policy_; }
  policy_case const& shape() const { return case_; }

  /// Queries of the tail of the input, then of token t, a function of `stream`.
  std::vector<float> queries(int layer, int token, int rows, std::uint64_t stream) const {
    return normal_floats({stream, static_cast<std::uint64_t>(layer), static_cast<std::uint64_t>(token)}, index_t{rows} * case_.heads * case_.head_dim, 1.5);
  }

  void begin(std::uint64_t stream = 5) {
    int const rows = std::min(64, case_.context);
    for (int l = 0; l < case_.layers; ++l) {
      begin(l, queries(l, -1, rows, stream));
    }
  }
  /// `tail`: (rows, heads, head_dim), the last input rows.
  void begin(int layer, std::vector<float> const& tail) {
    keep_[static_cast<std::size_t>(layer)].keep_all();
    auto const its = uploaded(*backend_, tail);
    index_t const row = index_t{case_.heads} * case_.head_dim;
    policy_.begin_turn(layer, tensor_view<float const, 3>(its.data(), {its.size() / row, case_.heads, case_.head_dim}), kv(layer));
  }

  /// One generated token with this query (heads, head_dim) in one layer.
  kept_lists token(int layer, std::vector<float> const& query) {
    auto& keep = keep_[static_cast<std::size_t>(layer)];
    auto const its = uploaded(*backend_, query);
    tensor_view<float const, 2> const q(its.data(), {case_.heads, case_.head_dim});
    policy_.observe(layer, q);
    if (policy_.due(layer)) { policy_.choose(layer, kv(layer), keep); }
    if constexpr (recalling_policy<Policy>) { policy_.recall(layer, q, kv(layer), keep); }
    return lists_of(*backend_, keep);
  }

  /// Token t of a stream in all layers.
  std::vector<kept_lists> token(int t, std::uint64_t stream) {
    std::vector<kept_lists> kept;
    for (int l = 0; l < case_.layers; ++l) { kept.push_back(token(l, queries(l, t, 1, stream))); }
    return kept;
  }

  std::vector<std::vector<kept_lists>> tokens(int from, int to, std::uint64_t stream) {
    std::vector<std::vector<kept_lists>> kept;
    for (int t = from; t < to; ++t) { kept.push_back(token(t, stream)); }
    return kept;
  }

  kept_rows<backend_type>& keep(int layer) { return keep_[static_cast<std::size_t>(layer)]; }

 private:
  policy_case case_;
  backend_type* backend_;
  Policy policy_;
  std::vector<kept_rows<backend_type>> keep_;
  std::vector<host_kv<Element>> contexts_;
  std::vector<std::optional<uploaded_kv<backend_type, Element>>> there_;
};

/// Is `token` attended in every KV head of these lists?
inline bool holds(kept_lists const& kept, int token) {
  if (!kept) { return true; }
  for (auto const& list : *kept) {
    if (!std::binary_search(list.begin(), list.end(), token)) { return false; }
  }
  return true;
}

/// In none of them?
inline bool lacks(kept_lists const& kept, int token) {
  if (!kept) { return false; }
  for (auto const& list : *kept) {
    if (std::binary_search(list.begin(), list.end(), token)) { return false; }
  }
  return true;
}

}  // namespace loopserve::testing
