// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <loopserve/ops/key_mass.hpp>
#include <loopserve/ops/line_mass.hpp>
#include <loopserve/testing/host_kv.hpp>

namespace ls = loopserve;

namespace {

/// softmax over keys [0, seen) of q . k / sqrt(d), in double.
std::vector<double> softmax_row(float const* q, ls::kv_view<float> kv, int kv_head, int seen) {
  std::vector<double> a;
  double weight = 0;
  for (int k = 0; k < seen; ++k) {
    double dot = 0;
    for (int c = 0; c < kv.head_dim; ++c) { dot += static_cast<double>(q[c]) * static_cast<double>(kv.key(k, kv_head)[c]); }
    a.push_back(std::exp(dot / std::sqrt(static_cast<double>(kv.head_dim))));
    weight += a.back();
  }
  for (auto& x : a) { x /= weight; }
  return a;
}

constexpr int heads = 6, kv_heads = 2, head_dim = 12, context = 57, queries = 5;

struct world {
  world() : keys(context, kv_heads, head_dim), q(ls::testing::normal_floats({4}, queries * heads * head_dim)) { keys.fill(6); }
  std::vector<float> scores(ls::key_mass_options o) {
    std::vector<float> out(kv_heads * context, -1.0F);
    ls::key_mass(ls::reference{2}, ls::tensor_view<float const, 3>(q.data(), {queries, heads, head_dim}), keys.view(), o, ls::tensor_view<float, 2>(out.data(), {kv_heads, context}));
    return out;
  }
  std::vector<double> head_sum(int head, bool tail) {
    std::vector<double> sum(context, 0.0);
    for (int i = 0; i < queries; ++i) {
      auto const a = softmax_row(q.data() + (i * heads + head) * head_dim, keys.view(), head / 3, tail ? context - (queries - 1 - i) : context);
      for (std::size_t k = 0; k < a.size(); ++k) { sum[k] += a[k]; }
    }
    return sum;
  }
  ls::testing::host_kv<float> keys;
  std::vector<float> q;
};

}  // namespace

TEST_CASE("key_mass sums over queries and reduces over the heads of a KV head") {
  world w;
  for (bool tail : {false, true}) {
    for (auto reduce : {ls::head_reduce::mean, ls::head_reduce::max}) {
      auto const found = w.scores({.reduce = reduce, .tail = tail});
      for (int h = 0; h < kv_heads; ++h) {
        auto const a = w.head_sum(3 * h, tail), b = w.head_sum(3 * h + 1, tail), c = w.head_sum(3 * h + 2, tail);
        for (std::size_t k = 0; k < context; ++k) {
          double const expected = reduce == ls::head_reduce::mean ? (a[k] + b[k] + c[k]) / 3 : std::max({a[k], b[k], c[k]});
          CHECK(found[static_cast<std::size_t>(h) * context + k] == doctest::Approx(expected).epsilon(1e-5));
        }
      }
    }
  }
}

TEST_CASE("key_mass weighs by values and pools by neighbours") {
  world w;
  auto const plain = w.scores({}), weighted = w.scores({.value_norm = true}), pooled = w.scores({.value_norm = true, .pool = 5});
  for (int h = 0; h < kv_heads; ++h) {
    for (int k = 0; k < context; ++k) {
      auto const at = static_cast<std::size_t>(h * context + k);
      double norm = 0;
      for (int c = 0; c < head_dim; ++c) { norm += static_cast<double>(w.keys.value(k, h)[c]) * static_cast<double>(w.keys.value(k, h)[c]); }
      CHECK(weighted[at] == doctest::Approx(static_cast<double>(plain[at]) * std::sqrt(norm)).epsilon(1e-5));
      float most = 0;
      for (int n = std::max(0, k - 2); n <= std::min(context - 1, k + 2); ++n) { most = std::max(most, weighted[static_cast<std::size_t>(h * context + n)]); }
      CHECK(pooled[at] == most);
    }
  }
}

TEST_CASE("line_scores are causal softmax rows, line_mass their sums along lines") {
  world w;
  ls::reference b{1};
  std::vector<int> const rows{0, 2, 4};
  std::vector<int> positions{52, 54, 56};
  std::vector<float> a(3 * context, -1.0F);
  ls::tensor_view<float, 2> const view(a.data(), {3, context});
  ls::line_scores(b, ls::tensor_view<float const, 3>(w.q.data(), {queries, heads, head_dim}), w.keys.view(), rows, 4, view);
  std::vector<double> vertical(context, -1.0), slash(context, -1.0), v(context, 0.0), s(context, 0.0);
  for (std::size_t i = 0; i < 3; ++i) {
    auto const expected = softmax_row(w.q.data() + (rows[i] * heads + 4) * head_dim, w.keys.view(), 1, positions[i] + 1);
    for (int k = 0; k < context; ++k) {
      double const cell = k <= positions[i] ? expected[static_cast<std::size_t>(k)] : 0;
      CHECK(view(i, k) == doctest::Approx(cell).epsilon(1e-5));
      if (k > positions[i]) {
        CHECK(view(i, k) == 0.0F);
        continue;
      }
      v[static_cast<std::size_t>(k)] += static_cast<double>(view(i, k));
      s[static_cast<std::size_t>(positions[i] - k)] += static_cast<double>(view(i, k));
    }
  }
  ls::line_mass(b, ls::tensor_view<float const, 2>(view), positions, vertical, slash);
  CHECK(vertical == v);
  CHECK(slash == s);
}
