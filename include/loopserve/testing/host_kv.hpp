// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/rng.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/testing/law.hpp>

namespace loopserve::testing {

/// A difference that may be NaN, which is never small.
inline void require_near(double value, double expected, double tolerance, std::string const& sentence) {
  if (!(std::abs(value - expected) <= tolerance)) {
    throw law_broken(sentence + ": " + std::to_string(value) + " instead of " + std::to_string(expected));
  }
}

/// Numbers of a normal distribution, a pure function of `stream`.
inline std::vector<float> normal_floats(counter_rng stream, index_t count, double scale = 1) {
  std::vector<float> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    double const u = 1 - stream.uniform(2 * i), v = stream.uniform(2 * i + 1);
    out[i] = static_cast<float>(scale * std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v));
  }
  return out;
}

/// Host keys and values of one layer, (tokens, kv_heads, head_dim) row by row, with a view in one page: for tests and for callers who hold such tensors.
template <class Element>
class host_kv {
 public:
  host_kv(int tokens, int kv_heads, int head_dim)
      : keys(static_cast<std::size_t>(tokens) * static_cast<std::size_t>(kv_heads * head_dim)),
        values(keys.size()),
        tokens_(tokens),
        kv_heads_(kv_heads),
        head_dim_(head_dim) {}

  Element* key(int i, int head) { return keys.data() + at(i, head); }
  Element* value(int i, int head) { return values.data() + at(i, head); }

  /// Random rows; the same stream gives the same ones.
  host_kv& fill(std::uint64_t seed, double key_scale = 1) {
    auto const k = normal_floats({seed, 1}, static_cast<index_t>(keys.size()), key_scale);
    auto const v = normal_floats({seed, 2}, static_cast<index_t>(keys.size()));
    for (std::size_t i = 0; i < k.size(); ++i) {
      keys[i] = static_cast<Element>(k[i]);
      values[i] = static_cast<Element>(v[i]);
    }
    return *this;
  }

  /// Valid until the object moves or ends.
  kv_view<Element> view() {
    tables_.clear();
    for (auto* part : {&keys, &values}) {
      for (int h = 0; h < kv_heads_; ++h) { tables_.push_back(part->data() + h * head_dim_); }
    }
    kv_view<Element> kv;
    kv.key_pages = tables_.data();
    kv.value_pages = tables_.data() + kv_heads_;
    kv.page_table_stride = 1;
    kv.row_stride = index_t{kv_heads_} * head_dim_;
    kv.kv_heads = kv_heads_;
    kv.head_dim = head_dim_;
    kv.tokens = tokens_;
    return kv;
  }

  std::vector<Element> keys, values;

 private:
  std::size_t at(int i, int head) const { return (static_cast<std::size_t>(i) * static_cast<std::size_t>(kv_heads_) + static_cast<std::size_t>(head)) * static_cast<std::size_t>(head_dim_); }
  int tokens_, kv_heads_, head_dim_;
  std::vector<Element const*> tables_;
};

}  // namespace loopserve::testing
