// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <loopserve/core/kv_view.hpp>

namespace loopserve::detail {

/// Softmax attention of one query row over a list of keys, in float64, one part of the list after the other: the definition that everything else is
/// held against. The softmax is over the keys of all parts that were added; a row that saw no key at all is zero.
class attend_keys {
 public:
  /// q (head_dim); scores are scaled by 1 / sqrt(head_dim).
  attend_keys(float const* q, int head_dim) : q_(q), head_dim_(head_dim), sum_(static_cast<std::size_t>(head_dim)) {}

  /// Attends to keys[0 .. size) of one KV head; each must lie inside the view.
  template <class Element>
  void add(kv_view<Element> const& kv, int kv_head, std::span<int const> keys) {
    if (keys.empty()) { return; }
    scores_.resize(keys.size());
    double const scale = 1.0 / std::sqrt(static_cast<double>(head_dim_));
    double top = top_;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      auto const* const k = kv.key(keys[i], kv_head);
      double dot = 0;
      for (int d = 0; d < head_dim_; ++d) { dot += static_cast<double>(q_[d]) * static_cast<double>(static_cast<float>(k[d])); }
      scores_[i] = dot * scale;
      top = std::max(top, scores_[i]);
    }
    double const fade = weight_ > 0 ? std::exp(top_ - top) : 0;
    weight_ *= fade;
    for (auto& x : sum_) { x *= fade; }
    top_ = top;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      double const w = std::exp(scores_[i] - top);
      auto const* const v = kv.value(keys[i], kv_head);
      weight_ += w;
      for (int d = 0; d < head_dim_; ++d) { sum_[static_cast<std::size_t>(d)] += w * static_cast<double>(static_cast<float>(v[d])); }
    }
  }

  /// out (head_dim)
  void write(float* out) const {
    double const scale = weight_ == 0 ? 0 : 1 / weight_;
    for (int d = 0; d < head_dim_; ++d) { out[d] = static_cast<float>(sum_[static_cast<std::size_t>(d)] * scale); }
  }

 private:
  float const* q_;
  int head_dim_;
  double top_ = -std::numeric_limits<double>::infinity();
  double weight_ = 0;
  std::vector<double> sum_, scores_;
};

}  // namespace loopserve::detail
