// SPDX-License-Identifier: Apache-2.0
#include "cover_on_device.hpp"

#include <limits>

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

bool same(testing::made_cover const& x, testing::made_cover const& y) {
  return x.verticals == y.verticals && x.slashes == y.slashes && x.dense == y.dense && x.covered == y.covered;
}

std::vector<int> some_rows(int rows) {
  std::vector<int> sampled;
  for (int i = 0; i < rows; ++i) {
    if (i % 3 == 0 || i > rows - 9) { sampled.push_back(i); }
  }
  return sampled;
}

/// Covers of heads of one shape in one call, whose attention is kept itself.
template <class B>
std::vector<testing::made_cover> of_mass(B const& b, std::vector<testing::cover_case> const& heads, cover_options const& o) {
  auto const& shape = heads[0];
  std::vector<float> mass;
  for (auto const& c : heads) { mass.insert(mass.end(), c.a.begin(), c.a.end()); }
  auto const there = on_device(b, mass);
  auto const positions = on_device(b, positions_of(heads));
  return made_on(b, static_cast<int>(heads.size()), shape.keys, [&](cover_heads_view out) {
    cover_heads(b, mass_cells{there.data(), shape.keys}, static_cast<int>(heads.size()), positions.data(),
                static_cast<int>(shape.positions.size()), shape.rows, shape.keys, o, out);
  });
}

/// Logits of a head of which every row is sampled: of what a row does not see, NaN.
std::vector<float> logits_of(testing::cover_case const& c, index_t stride) {
  std::vector<float> logits(c.positions.size() * static_cast<std::size_t>(stride), NAN);
  for (std::size_t i = 0; i < c.positions.size(); ++i) {
    for (std::size_t k = 0; k <= static_cast<std::size_t>(c.positions[i]); ++k) {
      logits[i * static_cast<std::size_t>(stride) + k] = std::log(c.a[i * static_cast<std::size_t>(c.keys) + k]) + static_cast<float>(i);
    }
  }
  return logits;
}

/// Covers of heads of one shape, every row of which is sampled, in one call: attention is kept as the rows' logits (heads, rows, stride).
template <class B>
std::vector<testing::made_cover> of_logits(B const& b, std::vector<testing::cover_case> const& heads, std::vector<float> const& logits,
                                           index_t stride, cover_options const& o) {
  auto const& shape = heads[0];
  auto const n = static_cast<int>(heads.size()), rows = shape.rows, lines = n * rows,
             tiles = blocks_for(shape.keys, softmax_parts_kernel::tile);
  auto const there = on_device(b, logits);
  auto const positions = on_device(b, positions_of(heads));
  auto parts = b.template make_buffer<softmax_part>(index_t{lines} * tiles), wholes = b.template make_buffer<softmax_part>(lines);
  b.launch({tiles, rows, n}, softmax_parts_kernel{{there.data(), stride, rows, 1, shape.keys - rows + 1, 1}, parts.data()});
  b.launch({blocks_for(lines, merge_softmax_kernel::threads / 32)}, merge_softmax_kernel{parts.data(), lines, tiles, wholes.data()});
  return made_on(b, n, shape.keys, [&](cover_heads_view out) {
    cover_heads(b, softmax_cells{there.data(), stride, wholes.data()}, n, positions.data(), rows, rows, shape.keys, o, out);
  });
}

std::vector<int> all_rows(int rows) {
  std::vector<int> all;
  for (int i = 0; i < rows; ++i) { all.push_back(i); }
  return all;
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

TEST_CASE("lines that add up to exactly what is asked for suffice") {
  // One row again: its own key has half of the mass; of the verticals 16 have nine 512ths and 14 have eight, sums that no type rounds.
  testing::cover_case c(1, 64, {0}, 1, 1);
  std::fill(c.a.begin(), c.a.end(), 0.0F);
  std::vector<int> best;
  for (int i = 0; i < 30; ++i) {
    best.push_back(i < 16 ? 2 * i + 1 : 2 * (i - 16));
    c.a[static_cast<std::size_t>(best.back())] = (i < 16 ? 9.0F : 8.0F) / 512;
  }
  c.a[63] = 0.5F;
  each_device([&](auto const& b) {
    for (std::size_t const wanted : {1, 7, 16, 17, 29, 30}) {
      std::vector<int> lines(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(wanted));
      cover_options o;
      o.sinks = o.local = 0;
      o.alpha = 0.5;
      for (int const k : lines) { o.alpha += static_cast<double>(c.a[static_cast<std::size_t>(k)]); }
      std::sort(lines.begin(), lines.end());
      auto const made = cover_on(b, c, o);
      CHECK(made.verticals == lines);
      CHECK(made.slashes == std::vector<int>{0});
      CHECK(static_cast<double>(made.covered) == o.alpha);
    }
  });
}

TEST_CASE("heads that are covered at once have the covers that each has alone") {
  std::vector<testing::cover_case> heads;
  for (std::uint64_t const seed : {21, 22, 23}) {
    auto rows = some_rows(30);
    if (seed == 22) {  // rows of its own
      std::reverse(rows.begin(), rows.end());
      for (int& r : rows) { r = 29 - r; }
    }
    heads.emplace_back(30, 75, rows, seed == 22 ? 0.5 : 2.5, seed);
  }
  each_device([&](auto const& b) {
    cover_options o;
    o.alpha = 0.9;
    o.local = 2;
    o.dense_above = 0.6;
    auto const together = of_mass(b, heads, o);
    for (std::size_t h = 0; h < heads.size(); ++h) { CHECK(same(together[h], cover_on(b, heads[h], o))); }
    CHECK((together[0].verticals != together[2].verticals && together[0].slashes != together[2].slashes));
    CHECK((!together[0].dense && together[1].dense));
  });
}

TEST_CASE("attention that is kept as logits has the cover that it has as mass") {
  int const rows = 25, keys = 70;
  index_t const stride = 72;
  std::vector<testing::cover_case> heads;
  std::vector<float> logits;
  for (std::uint64_t const seed : {31, 32}) {
    heads.emplace_back(rows, keys, all_rows(rows), 2, seed);
    auto const its = logits_of(heads.back(), stride);
    logits.insert(logits.end(), its.begin(), its.end());
  }
  each_device([&](auto const& b) {
    cover_options o;
    o.alpha = 0.9;
    o.sinks = 1;
    o.local = 2;
    auto const as_logits = of_logits(b, heads, logits, stride, o), as_mass = of_mass(b, heads, o);
    for (std::size_t h = 0; h < heads.size(); ++h) {
      CHECK(as_logits[h].verticals == as_mass[h].verticals);
      CHECK(as_logits[h].slashes == as_mass[h].slashes);
      CHECK(!(std::fabs(as_logits[h].covered - as_mass[h].covered) > 1e-5F));
    }
  });
}

TEST_CASE("a head with a logit that is no finite number covers NaN with its forced lines, and the head beside it is none the worse") {
  int const rows = 10, keys = 40;
  index_t const stride = 40;
  std::vector<testing::cover_case> const heads(2, testing::cover_case(rows, keys, all_rows(rows), 2, 41));
  auto const sound = logits_of(heads[0], stride);
  each_device([&](auto const& b) {
    cover_options o;
    o.sinks = 2;
    o.local = 3;
    for (float const odd : {NAN, std::numeric_limits<float>::infinity()}) {
      auto logits = sound;
      logits.insert(logits.end(), sound.begin(), sound.end());
      logits[4 * static_cast<std::size_t>(stride) + 11] = odd;
      auto const made = of_logits(b, heads, logits, stride, o);
      CHECK(std::isnan(made[0].covered));
      CHECK(!made[0].dense);
      CHECK(made[0].verticals == std::vector<int>{0, 1});
      CHECK(made[0].slashes == std::vector<int>{0, 1, 2});
      CHECK(made[1].covered >= static_cast<float>(o.alpha) - 1e-5F);
    }
  });
}

TEST_CASE("lists go on where a block's threads begin anew") {
  using writer = write_lines_kernel<mass_cells>;
  int const rows = 3, stretch = writer::each * writer::threads, keys = stretch + 50;
  std::vector<int> const verticals = {7, stretch - 1, stretch, stretch + 20}, slashes = {0, 9, stretch - 1, stretch, stretch + 30};
  testing::cover_case c(rows, keys, all_rows(rows), 1, 1);
  std::fill(c.a.begin(), c.a.end(), 0.0F);
  for (std::size_t i = 0; i < c.positions.size(); ++i) {
    auto const put = [&](int key) { c.a[i * static_cast<std::size_t>(keys) + static_cast<std::size_t>(key)] = 0.125F; };
    for (int const k : verticals) { put(k); }
    for (int const d : slashes) { put(c.positions[i] - d); }
  }
  each_device([&](auto const& b) {
    cover_options o;
    o.alpha = 1;
    o.sinks = 0;
    o.local = 1;
    auto const made = cover_on(b, c, o);
    CHECK(made.verticals == verticals);
    CHECK(made.slashes == slashes);
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
