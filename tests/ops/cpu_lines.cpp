// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/testing/kv_world.hpp>

namespace ls = loopserve;

namespace {

struct shape {
  int rows, keys, heads, kv_heads, dim, sampled;
  ls::testing::kv_layout layout;
};

std::vector<int> sample(shape const& s) {
  std::vector<int> rows;
  for (int i = 0; i < s.sampled; ++i) { rows.push_back(static_cast<int>(static_cast<std::int64_t>(i + 1) * s.rows / s.sampled) - 1); }
  return rows;
}

struct cover {
  explicit cover(int keys) : verticals(static_cast<std::size_t>(keys), -1), slashes(verticals) {}
  ls::cover_view view() { return {verticals.data(), slashes.data(), &counts[0], &counts[1], &dense, &covered, &result}; }
  std::vector<int> verticals, slashes;
  int counts[2] = {0, 0};
  unsigned char dense = 9;
  float covered = 0;
  ls::cover_result result;
};

}  // namespace

TEST_CASE_TEMPLATE("line scores and the covers from them are the reference's", Element, float, ls::bf16, ls::f16) {
  using ls::testing::kv_layout;
  ls::reference exact(2);
  for (shape const s : {shape{1, 1, 1, 1, 64, 1, kv_layout::token_major}, shape{5, 64, 2, 1, 8, 5, kv_layout::head_major}, shape{70, 300, 4, 2, 64, 64, kv_layout::paged},
                        shape{300, 1000, 2, 2, 128, 37, kv_layout::paged}, shape{65, 129, 6, 2, 24, 64, kv_layout::token_major}, shape{200, 201, 2, 1, 96, 3, kv_layout::paged},
                        shape{64, 2000, 8, 1, 48, 64, kv_layout::head_major}, shape{3, 77, 2, 1, 20, 0, kv_layout::head_major}}) {
    CAPTURE(s.keys);
    ls::testing::kv_world<Element> const kv(s.keys, s.kv_heads, s.dim, s.layout, 3);
    ls::counter_rng const random{8};
    std::vector<float> q(static_cast<std::size_t>(s.rows * s.heads * s.dim));
    for (std::size_t i = 0; i < q.size(); ++i) { q[i] = static_cast<float>(3 * random.uniform(i) - 1.5); }
    ls::tensor_view<float const, 3> const queries(q.data(), {s.rows, s.heads, s.dim});
    auto const rows = sample(s);
    std::vector<int> positions;
    for (int r : rows) { positions.push_back(s.keys - s.rows + r); }
    auto const cells = static_cast<std::size_t>((s.sampled + 1) * (s.keys + 3));
    for (auto level : ls::supported_isas()) {
      ls::cpu const b(ls::cpu_options{.threads = 2, .level = level});
      std::vector<float> expected(cells, std::numeric_limits<float>::quiet_NaN()), found = expected;
      auto const view = [&](std::vector<float>& of) { return ls::tensor_view<float, 2>(of.data(), {s.sampled, s.keys}, {s.keys + 3, 1}); };
      int const head = s.heads - 1;
      line_scores(exact, queries, kv.view(), std::span<int const>(rows), head, view(expected));
      line_scores(b, queries, kv.view(), std::span<int const>(rows), head, view(found));
      int wrong = 0;
      for (std::size_t i = 0; i < cells; ++i) {
        bool const padding = static_cast<int>(i) % (s.keys + 3) >= s.keys || static_cast<int>(i) / (s.keys + 3) >= s.sampled;
        if (padding) {
          CHECK(std::isnan(found[i]));
        } else {
          wrong += std::abs(found[i] - expected[i]) <= 2e-6F ? 0 : 1;
        }
      }
      CHECK(wrong == 0);

      std::vector<double> mass[4];
      for (auto& m : mass) { m.assign(static_cast<std::size_t>(s.keys), -1.0); }
      line_mass(exact, view(found), std::span<int const>(positions), mass[0], mass[1]);
      line_mass(b, view(found), std::span<int const>(positions), mass[2], mass[3]);
      CHECK(mass[0] == mass[2]);
      CHECK(mass[1] == mass[3]);

      cover one(s.keys), other(s.keys);
      ls::cover_options const o{.alpha = 0.9, .sinks = 2, .local = 5};
      cover_lines(exact, view(found), std::span<int const>(positions), s.rows, o, one.view());
      cover_lines(b, view(found), std::span<int const>(positions), s.rows, o, other.view());
      CHECK(one.verticals == other.verticals);
      CHECK(one.slashes == other.slashes);
      CHECK(one.counts[0] == other.counts[0]);
      CHECK(one.counts[1] == other.counts[1]);
      CHECK(one.dense == other.dense);
      CHECK(one.covered == other.covered);
      CHECK(one.result.area == other.result.area);
    }
  }
}
