// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <loopserve/ops/top_k.hpp>
#include <loopserve/testing/host_kv.hpp>

namespace ls = loopserve;

namespace {

/// The definition: sort by score, ties by index, take k that exceed `least`, ascending.
std::vector<int> sorted_best(std::vector<float> const& s, int k, float least) {
  std::vector<int> order;
  for (int i = 0; i < static_cast<int>(s.size()); ++i) {
    if (s[static_cast<std::size_t>(i)] > least) { order.push_back(i); }
  }
  std::stable_sort(order.begin(), order.end(), [&](int x, int y) { return s[static_cast<std::size_t>(x)] > s[static_cast<std::size_t>(y)]; });
  order.resize(std::min(order.size(), static_cast<std::size_t>(k)));
  std::sort(order.begin(), order.end());
  return order;
}

std::vector<std::vector<int>> best(std::vector<float> const& s, int heads, int k, float least) {
  auto const n = static_cast<int>(s.size()) / heads;
  std::vector<int> rows(static_cast<std::size_t>(heads * std::max(1, std::min(k, n)))), counts(static_cast<std::size_t>(heads), -1);
  ls::kept_rows_view const out{heads, std::max(1, std::min(k, n)), rows.data(), counts.data()};
  ls::top_k(ls::reference{2}, ls::tensor_view<float const, 2>(s.data(), {heads, n}), k, least, out);
  std::vector<std::vector<int>> lists;
  for (int h = 0; h < heads; ++h) { lists.emplace_back(rows.begin() + h * out.stride, rows.begin() + h * out.stride + counts[static_cast<std::size_t>(h)]); }
  return lists;
}

constexpr float lowest = -std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("top_k is the sorted best, ties to the lower index") {
  for (int n : {1, 2, 17, 300, 20000}) {
    for (int kind = 0; kind < 4; ++kind) {
      auto s = ls::testing::normal_floats({static_cast<std::uint64_t>(n), static_cast<std::uint64_t>(kind)}, n);
      for (auto& x : s) {
        if (kind == 1) { x = std::round(x * 2); }            // many ties, both signs, both zeros
        if (kind == 2) { x = std::exp(x * 8 - 20); }         // as a softmax is
        if (kind == 3) { x = 1.0F + 1e-6F * std::round(x); }  // one bin
      }
      for (int k : {0, 1, 2, n / 100, n / 10, n / 2, n - 1, n, n + 5}) {
        for (float least : {lowest, 0.0F, 0.5F}) { CHECK(best(s, 1, k, least)[0] == sorted_best(s, k, least)); }
      }
    }
  }
}

TEST_CASE("top_k of several heads; infinities and NaN") {
  float const inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> const s{1, nan, inf, 0, inf, -inf, -nan, -inf, -1, nan, 2, -2};
  auto const lists = best(s, 2, 3, lowest);
  CHECK(lists[0] == std::vector<int>{0, 2, 4});
  CHECK(lists[1] == std::vector<int>{2, 4, 5});
}

TEST_CASE("forced rows come before all others") {
  std::vector<float> s(40);
  std::iota(s.begin(), s.end(), 0.0F);
  ls::tensor_view<float, 2> const view(s.data(), {2, 20});
  ls::reference b{1};
  ls::force_ends(b, view, 2, 1);
  CHECK(best(s, 2, 4, lowest)[0] == std::vector<int>{0, 1, 18, 19});
  int rows[2] = {5, 7}, counts[2] = {1, 1};
  ls::force_rows(b, view, {2, 1, rows, counts});
  CHECK(best(s, 2, 4, lowest)[1] == std::vector<int>{0, 1, 7, 19});
  ls::force_ends(b, view, 100, 100);
  CHECK(best(s, 2, 3, lowest)[1] == std::vector<int>{0, 1, 2});
}
