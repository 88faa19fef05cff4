// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/attention/decode.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/kv/working_set.hpp>
#include <loopserve/testing/host_kv.hpp>
#include <loopserve/testing/law.hpp>

namespace loopserve::testing {

/// What a policy kept for one token in one layer: a list for each KV head, or nothing for the whole context.
using kept_lists = std::optional<std::vector<std::vector<int>>>;

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
      auto const to = copy.keep_[l].lists(lists.kv_heads, static_cast<int>(lists.stride));
      for (int h = 0; h < lists.kv_heads; ++h) {
        to.counts[h] = lists.counts[h];
        std::copy_n(lists.rows + h * lists.stride, lists.counts[h], to.rows + h * to.stride);
      }
    }
    return copy;
  }

  host_kv<Element>& context(int layer) { return contexts_[static_cast<std::size_t>(layer)]; }
  Policy& policy() { return policy_; }
  policy_case const& shape() const { return case_; }

  /// Queries of the tail of the input, then of token t, a function of `stream`.
  std::vector<float> queries(int layer, int token, int rows, std::uint64_t stream) const {
    return normal_floats({stream, static_cast<std::uint64_t>(layer), static_cast<std::uint64_t>(token)}, index_t{rows} * case_.heads * case_.head_dim, 1.5);
  }

  void begin(std::uint64_t stream = 5) {
    int const rows = std::min(64, case_.context);
    for (int l = 0; l < case_.layers; ++l) {
      auto const tail = queries(l, -1, rows, stream);
      begin(l, tensor_view<float const, 3>(tail.data(), {rows, case_.heads, case_.head_dim}));
    }
  }
  void begin(int layer, tensor_view<float const, 3> tail) {
    keep_[static_cast<std::size_t>(layer)].keep_all();
    policy_.begin_turn(layer, tail, context(layer).view());
  }

  /// One generated token with this query (heads, head_dim) in one layer.
  kept_lists token(int layer, std::vector<float> const& query) {
    auto& keep = keep_[static_cast<std::size_t>(layer)];
    tensor_view<float const, 2> const q(query.data(), {case_.heads, case_.head_dim});
    auto const kv = context(layer).view();
    policy_.observe(layer, q);
    if (policy_.due(layer)) { policy_.choose(layer, kv, keep); }
    if constexpr (recalling_policy<Policy>) { policy_.recall(layer, q, kv, keep); }
    return lists(keep);
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
  static kept_lists lists(kept_rows<backend_type>& keep) {
    if (keep.all()) { return std::nullopt; }
    std::vector<std::vector<int>> out;
    auto const view = keep.view();
    for (int h = 0; h < view.kv_heads; ++h) { out.emplace_back(view.rows + h * view.stride, view.rows + h * view.stride + view.counts[h]); }
    return out;
  }

  policy_case case_;
  backend_type* backend_;
  Policy policy_;
  std::vector<kept_rows<backend_type>> keep_;
  std::vector<host_kv<Element>> contexts_;
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
