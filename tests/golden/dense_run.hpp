// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <fstream>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <loopserve/attention/dense.hpp>
#include <loopserve/model/decoder.hpp>
#include <loopserve/model/load_weights.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/ops/argmax.hpp>

namespace golden {

/// A model with dense attention over float32 keys and values, without engine: what the goldens are compared with.
template <class Backend>
class basic_dense_run {
 public:
  explicit basic_dense_run(std::string const& path, Backend backend = Backend(2))
      : backend_(std::move(backend)), files_(loopserve::model_files::open(path)), model_(backend_, loopserve::load_weights(*files_)) {
    layers_.resize(static_cast<std::size_t>(shape().layers));
  }

  loopserve::model_shape const& shape() const { return model_.shape(); }
  loopserve::model_files const& files() const { return *files_; }

  /// Feeds tokens; returns their logits (ids, vocabulary).
  std::vector<float> feed(std::vector<int> const& ids) {
    using namespace loopserve;
    auto const& s = shape();
    index_t const rows = static_cast<index_t>(ids.size());
    std::vector<token_id> tokens;
    for (int id : ids) { tokens.push_back(token_id{id}); }
    std::vector<int> positions(ids.size());
    std::iota(positions.begin(), positions.end(), length_);
    std::vector<float> x(rows * s.width), q(rows * s.heads * s.head_dim), k(rows * s.kv_heads * s.head_dim), v(k.size()), out(q.size());
    tensor_view<float, 2> const xs(x.data(), {rows, s.width});
    tensor_view<float, 3> const qs(q.data(), {rows, s.heads, s.head_dim});
    tensor_view<float, 3> const outs(out.data(), {rows, s.heads, s.head_dim});
    model_.embed(tokens, xs);
    for (int l = 0; l < s.layers; ++l) {
      auto& cache = layers_[static_cast<std::size_t>(l)];
      model_.project(l, xs, positions, qs, {k.data(), {rows, s.kv_heads, s.head_dim}}, {v.data(), {rows, s.kv_heads, s.head_dim}});
      cache.k.insert(cache.k.end(), k.begin(), k.end());
      cache.v.insert(cache.v.end(), v.begin(), v.end());
      std::vector<float const*> k_pages, v_pages;
      for (int h = 0; h < s.kv_heads; ++h) {
        k_pages.push_back(cache.k.data() + h * s.head_dim);
        v_pages.push_back(cache.v.data() + h * s.head_dim);
      }
      kv_view<float> kv;
      kv.key_pages = k_pages.data();
      kv.value_pages = v_pages.data();
      kv.page_table_stride = 1;
      kv.row_stride = s.kv_heads * s.head_dim;
      kv.kv_heads = s.kv_heads;
      kv.head_dim = s.head_dim;
      kv.tokens = length_ + static_cast<int>(rows);
      prefill_job<float> const job{qs, kv, nullptr, model_.window(l), outs};
      attend_dense(backend_, std::span<prefill_job<float> const>(&job, 1));
      model_.mix(l, outs, xs);
    }
    length_ += static_cast<int>(rows);
    std::vector<float> logits(rows * s.vocabulary);
    model_.logits(xs, {logits.data(), {rows, s.vocabulary}});
    return logits;
  }

  /// `count` tokens, each the likeliest after what was fed; `logits` of the last fed row.
  std::vector<int> greedy(std::vector<float> logits, int count) {
    std::vector<int> out;
    for (int i = 0; i < count; ++i) {
      out.push_back(loopserve::argmax(backend_, last_row(logits)));
      if (i + 1 < count) { logits = feed({out.back()}); }
    }
    return out;
  }

  std::span<float const> last_row(std::vector<float> const& logits) const {
    auto const n = static_cast<std::size_t>(shape().vocabulary);
    return {logits.data() + logits.size() - n, n};
  }

  /// The natural log-probability of ids[i + 1] in row i.
  std::vector<double> logprobs(std::vector<float> const& logits, std::vector<int> const& ids) const {
    std::vector<double> out;
    auto const n = static_cast<std::size_t>(shape().vocabulary);
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      auto const* row = logits.data() + i * n;
      double top = row[0];
      for (std::size_t c = 0; c < n; ++c) { top = std::max(top, static_cast<double>(row[c])); }
      double sum = 0;
      for (std::size_t c = 0; c < n; ++c) { sum += std::exp(row[c] - top); }
      out.push_back(row[ids[i + 1]] - top - std::log(sum));
    }
    return out;
  }

 private:
  struct cache {
    std::vector<float> k, v;  // (tokens, kv_heads, head_dim)
  };
  Backend backend_;
  std::shared_ptr<loopserve::model_files const> files_;
  loopserve::decoder<Backend> model_;
  std::vector<cache> layers_;
  int length_ = 0;
};

using dense_run = basic_dense_run<loopserve::reference>;

/// The largest absolute difference; NaN where one of the two is not a number, infinite where lengths differ.
template <class A, class B>
double largest_difference(A const& a, B const& b) {
  if (std::size(a) != std::size(b)) { return INFINITY; }
  double largest = 0;
  for (std::size_t i = 0; i < std::size(a); ++i) {
    double const d = std::fabs(static_cast<double>(a[i]) - b[i]);
    if (!(d <= largest)) { largest = d; }
    if (std::isnan(d)) { return d; }
  }
  return largest;
}

inline nlohmann::json read_json(std::string const& path) { return nlohmann::json::parse(std::ifstream(path)); }

}  // namespace golden
