// SPDX-License-Identifier: Apache-2.0
#include "cover_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);

/// The laws of a cover: what is forced is there, alpha is reached, what is said of it is true. Its cost as a share of the greedy's.
template <class B>
double lawful(B const& b, testing::cover_case const& c, cover_options const& o) {
  CAPTURE(c.rows);
  CAPTURE(c.keys);
  auto const made = cover_on(b, c, o);
  for (auto const* list : {&made.verticals, &made.slashes}) {
    CHECK(std::adjacent_find(list->begin(), list->end(), [](int x, int y) { return x >= y; }) == list->end());
    CHECK((list->empty() || (list->front() >= 0 && list->back() < c.keys)));
  }
  auto const holds = [](std::vector<int> const& list, int count) {
    return static_cast<int>(list.size()) >= count && (count == 0 || list[static_cast<std::size_t>(count) - 1] == count - 1);
  };
  CHECK(holds(made.slashes, std::min(std::max(1, o.local), c.keys)));
  CHECK(holds(made.verticals, std::min(o.sinks, c.keys)));
  double const covered = c.covered(made.verticals, made.slashes);
  auto const greedy = testing::cover(oracle, c, o);
  CHECK(covered >= std::min(o.alpha, greedy.result.covered) - 1e-6);  // where alpha is 1 rounding may leave a little
  index_t area = 0, causal = 0;
  for (int p = c.keys - c.rows; p < c.keys; ++p) {
    for (int k = 0; k <= p; ++k) {
      area += std::binary_search(made.verticals.begin(), made.verticals.end(), k) ||
                      std::binary_search(made.slashes.begin(), made.slashes.end(), p - k)
                  ? 1
                  : 0;
      ++causal;
    }
  }
  CHECK(made.dense == (static_cast<double>(area) > o.dense_above * static_cast<double>(causal)));
  CHECK(!(std::fabs(made.covered - (made.dense ? 1 : covered)) > 1e-6));
  return static_cast<double>(cost_of(c, made)) / static_cast<double>(greedy.result.cost);
}

std::vector<int> some_rows(int rows) {
  std::vector<int> sampled;
  for (int i = 0; i < rows; ++i) {
    if (i % 3 == 0 || i > rows - 9) { sampled.push_back(i); }
  }
  return sampled;
}

}  // namespace

TEST_CASE("a device's cover keeps the laws at every shape, sharpness and option, at the greedy's cost") {
  each_device([&](auto const& b) {
    std::uint64_t seed = 0;
    double most = 0;
    for (auto [rows, keys] : {std::pair{1, 1}, {1, 40}, {7, 7}, {50, 50}, {30, 200}, {200, 333}}) {
      for (double const sharpness : {0.3, 2.0, 5.0}) {
        for (double const alpha : {0.5, 0.9, 0.98}) {
          cover_options o;
          o.alpha = alpha;
          o.sinks = static_cast<int>(seed % 3) * 2;
          o.local = static_cast<int>(seed % 4) * 5;
          o.by_density = seed % 5 != 0;
          o.dense_above = seed % 2 == 0 ? 1.0 : 0.5;
          double const r = lawful(b, testing::cover_case(rows, keys, some_rows(rows), sharpness, ++seed), o);
          most = std::max(most, r);
        }
      }
    }
    CHECK(most <= 1.15);
  });
}

TEST_CASE("the last line of a cover is needed: the best lines of the last level, in order, and no more") {
  // One row, which only verticals and slashes of one cell cover: lines by mass, each worth its cell, all in one level.
  testing::cover_case c(1, 64, {0}, 1, 1);
  for (int k = 0; k < 64; ++k) { c.a[static_cast<std::size_t>(k)] = (k == 63 ? 0.5F : (k % 5 == 2 ? 0.0081F : 0.0079F)); }
  double left = 0;
  for (int k = 0; k < 63; ++k) { left += static_cast<double>(c.a[static_cast<std::size_t>(k)]); }
  c.a[63] = static_cast<float>(1 - left);
  each_device([&](auto const& b) {
    for (int const wanted : {0, 1, 5, 13, 14, 40, 62}) {
      // The `wanted` best: those of the larger mass first, lower index first.
      std::vector<int> best;
      for (float const mass : {0.0081F, 0.0079F}) {
        for (int k = 0; k < 63; ++k) {
          if (c.a[static_cast<std::size_t>(k)] == mass) { best.push_back(k); }
        }
      }
      best.resize(static_cast<std::size_t>(wanted));
      cover_options o;
      o.sinks = o.local = 0;
      o.alpha = static_cast<double>(c.a[63]) - 1e-7;
      for (int const k : best) { o.alpha += static_cast<double>(c.a[static_cast<std::size_t>(k)]); }
      std::sort(best.begin(), best.end());
      auto const made = cover_on(b, c, o);
      CHECK(made.verticals == best);
      CHECK(made.slashes == std::vector<int>{0});
    }
  });
}

TEST_CASE("a planted vertical and a planted slash are found, and nothing beside them") {
  int const rows = 120, keys = 400;
  for (auto const& placed : {std::pair{17, 90}, {300, 3}, {399 - 60, 200}}) {
    int const line = placed.first, distance = placed.second;
    testing::cover_case c(rows, keys, some_rows(rows), 1, 3);
    for (std::size_t i = 0; i < c.positions.size(); ++i) {
      int const p = c.positions[i];
      for (int k = 0; k <= p; ++k) {
        bool const here = k == line || p - k == distance;
        c.a[i * static_cast<std::size_t>(keys) + static_cast<std::size_t>(k)] = here     ? 0.4F
                                                                                : k == p ? 0.15F
                                                                                         : 0.05F / static_cast<float>(p);
      }
    }
    each_device([&](auto const& b) {
      cover_options o;
      o.alpha = 0.7;
      o.sinks = 0;
      o.local = 1;
      auto const made = cover_on(b, c, o);
      CHECK(made.verticals == std::vector<int>{line});
      CHECK(made.slashes == std::vector<int>{0, distance});
    });
  }
}

TEST_CASE("a line that has fallen comes up again at its new worth, before all that is worth less") {
  // Vertical 30 and slash 20 meet in one cell of great mass; what is left of the slash is worth far more than the verticals of its single cells.
  testing::cover_case c(32, 64, some_rows(32), 1, 3);
  std::fill(c.a.begin(), c.a.end(), 0.0F);
  for (std::size_t i = 0; i < c.positions.size(); ++i) {
    int const p = c.positions[i];
    float rest = 1;
    for (int const k : {30, p - 20}) {
      float& cell = c.a[i * 64 + static_cast<std::size_t>(k)];
      cell = p == 50 ? 0.8F : 0.02F;
    }
    for (int k = 0; k < p; ++k) { rest -= c.a[i * 64 + static_cast<std::size_t>(k)]; }
    c.a[i * 64 + static_cast<std::size_t>(p)] = rest;
  }
  REQUIRE(std::find(c.positions.begin(), c.positions.end(), 50) != c.positions.end());
  each_device([&](auto const& b) {
    cover_options o;
    o.alpha = 0.9999;
    o.sinks = 0;
    o.local = 1;
    auto const made = cover_on(b, c, o);
    CHECK(made.verticals == std::vector<int>{30});
    CHECK(made.slashes == std::vector<int>{0, 20});
  });
}

TEST_CASE("the cells of a union are counted to the last one") {
  for (auto const& shape : {std::pair{50, 50}, {20, 75}, {7, 40}}) {
    int const rows = shape.first, keys = shape.second;
    testing::cover_case const c(rows, keys, some_rows(rows), 2, 8);
    each_device([&](auto const& b) {
      cover_options o;
      o.alpha = 0.9;
      o.local = 3;
      auto const made = cover_on(b, c, o);
      REQUIRE((made.verticals.size() > 4 && made.slashes.size() > 4));
      index_t area = 0;
      for (int p = keys - rows; p < keys; ++p) {
        for (int k = 0; k <= p; ++k) {
          bool const on_slash = std::binary_search(made.slashes.begin(), made.slashes.end(), p - k);
          area += on_slash || std::binary_search(made.verticals.begin(), made.verticals.end(), k) ? 1 : 0;
        }
      }
      auto const causal = static_cast<double>(index_t{rows} * (keys - rows) + index_t{rows} * (rows + 1) / 2);
      o.dense_above = (static_cast<double>(area) + 0.5) / causal;
      CHECK(!cover_on(b, c, o).dense);
      o.dense_above = (static_cast<double>(area) - 0.5) / causal;
      CHECK(cover_on(b, c, o).dense);
    });
  }
}

TEST_CASE("sinks and slashes that hold everything, a row that sees one key, and rows of nothing") {
  each_device([&](auto const& b) {
    cover_options all;
    all.local = 1000;
    all.sinks = 1000;
    testing::cover_case const c(20, 50, some_rows(20), 1, 4);
    CHECK(lawful(b, c, all) == 1);
    cover_options none;
    none.sinks = none.local = 0;
    testing::cover_case empty(20, 50, some_rows(20), 1, 4);
    std::fill(empty.a.begin(), empty.a.end(), 0.0F);
    auto const made = cover_on(b, empty, none);
    CHECK(made.verticals.empty());
    CHECK(made.slashes == std::vector<int>{0});
    none.alpha = 1;
    CHECK(lawful(b, testing::cover_case(3, 40, {0, 1, 2}, 2, 5), none) <= 1.15);
  });
}

TEST_CASE("what a device does not take is refused") {
  each_device([&](auto const& b) {
    testing::cover_case const c(20, 50, some_rows(20), 1, 4);
    cover_result result;
    cover_view out;
    out.result = &result;
    tensor_view<float const, 2> const a(nullptr, {static_cast<index_t>(c.positions.size()), 50});
    CHECK_THROWS_AS(cover_lines(b, a, c.positions, 20, {}, out), error);
    CHECK_THROWS_AS(cover_lines(b, tensor_view<float const, 2>(nullptr, {1, 50}), c.positions, 20, {}, {}), error);
    CHECK_THROWS_AS(cover_heads(b, mass_cells{}, 1, nullptr, 0, 20, 50, {}, {}), error);
    CHECK_THROWS_AS(cover_heads(b, mass_cells{}, 1, nullptr, 1025, 2000, 5000, {}, {}), error);
    CHECK_THROWS_AS(cover_heads(b, mass_cells{}, 1, nullptr, 4, 51, 50, {}, {}), error);
    cover_heads(b, mass_cells{}, 0, nullptr, 4, 20, 50, {}, {});
  });
}
