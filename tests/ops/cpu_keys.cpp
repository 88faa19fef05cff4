// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/ops/top_k.hpp>
#include <loopserve/testing/host_kv.hpp>
#include <loopserve/testing/kv_world.hpp>

namespace ls = loopserve;

namespace {

struct shape {
  int queries, keys, heads, kv_heads, dim;
  ls::testing::kv_layout layout;
};

std::vector<shape> shapes() {
  using ls::testing::kv_layout;
  return {{1, 1, 1, 1, 64, kv_layout::token_major},   {16, 65, 6, 2, 64, kv_layout::paged},  {1, 200, 8, 1, 128, kv_layout::head_major},
          {64, 300, 6, 2, 48, kv_layout::paged},       {3, 4200, 4, 4, 24, kv_layout::paged}, {5, 2048, 2, 1, 96, kv_layout::token_major},
          {1, 6200, 3, 1, 64, kv_layout::head_major}, {2, 64, 5, 1, 20, kv_layout::paged},
          {3, 130, 7, 1, 18, kv_layout::paged}};
}

std::vector<float> queries_of(shape const& s) {
  ls::counter_rng const random{8};
  std::vector<float> q(static_cast<std::size_t>(s.queries * s.heads * s.dim));
  for (std::size_t i = 0; i < q.size(); ++i) { q[i] = static_cast<float>(3 * random.uniform(i) - 1.5); }
  return q;
}

/// Elements that differ by more than float32 sums of softmax weights may.
int wrong(std::vector<float> const& expected, std::vector<float> const& found) {
  int count = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) { count += std::abs(expected[i] - found[i]) <= 4e-6F * (1 + std::abs(expected[i])) ? 0 : 1; }
  return count;
}

std::vector<ls::cpu> backends() {
  std::vector<ls::cpu> found;
  for (auto level : ls::supported_isas()) {
    found.emplace_back(ls::cpu_options{.threads = 2, .level = level});
  }
  return found;
}

}  // namespace

TEST_CASE_TEMPLATE("key mass is the reference's, with every option, and the same bits on any number of threads", Element, float, ls::bf16, ls::f16) {
  ls::reference exact(2);
  for (auto const& s : shapes()) {
    ls::testing::kv_world<Element> const kv(s.keys, s.kv_heads, s.dim, s.layout, 3);
    auto const q = queries_of(s);
    ls::tensor_view<float const, 3> const queries(q.data(), {s.queries, s.heads, s.dim});
    std::vector<ls::key_mass_options> options{{}, {.reduce = ls::head_reduce::max}, {.value_norm = true, .pool = 5}};
    if (s.queries <= s.keys) { options.push_back({.tail = true}); }
    for (auto const& o : options) {
      std::vector<float> expected(static_cast<std::size_t>(s.kv_heads * s.keys), -1), found = expected, alone = expected;
      key_mass(exact, queries, kv.view(), o, ls::tensor_view<float, 2>(expected.data(), {s.kv_heads, s.keys}));
      for (auto const& b : backends()) {
        key_mass(b, queries, kv.view(), o, ls::tensor_view<float, 2>(found.data(), {s.kv_heads, s.keys}));
        CHECK(wrong(expected, found) == 0);
        ls::cpu const one(ls::cpu_options{.threads = 1, .level = b.isa_level()});
        key_mass(one, queries, kv.view(), o, ls::tensor_view<float, 2>(alone.data(), {s.kv_heads, s.keys}));
        CHECK(alone == found);
      }
    }
  }
}

TEST_CASE_TEMPLATE("sketch scores are the reference's, in 1, 2 and 4 bits, and the same bits on any number of threads", Element, float, ls::bf16, ls::f16) {
  ls::reference exact(2);
  for (auto const& s : shapes()) {
    ls::testing::kv_world<Element> const kv(s.keys, s.kv_heads, s.dim, s.layout, 3);
    auto const q = queries_of(s);
    ls::tensor_view<float const, 3> const queries(q.data(), {s.queries, s.heads, s.dim});
    for (int bits : {1, 2, 4}) {
      ls::key_sketch_view sketch;
      sketch.kv_heads = s.kv_heads;
      sketch.head_dim = s.dim;
      sketch.bits = bits;
      sketch.groups = s.keys / ls::sketch_group;
      std::vector<ls::f16> bounds(static_cast<std::size_t>(2 * sketch.groups * s.kv_heads * s.dim));
      std::vector<std::uint32_t> codes(static_cast<std::size_t>(sketch.groups * s.kv_heads * sketch.words() * ls::sketch_group));
      sketch.lo = bounds.data();
      sketch.step = bounds.data() + bounds.size() / 2;
      sketch.codes = codes.data();
      sketch_keys(exact, kv.view(), 0, sketch.groups, sketch);
      std::vector<float> expected(static_cast<std::size_t>(s.kv_heads * s.keys), -1), found = expected, alone = expected;
      sketch_scores(exact, queries, kv.view(), sketch, ls::tensor_view<float, 2>(expected.data(), {s.kv_heads, s.keys}));
      for (auto const& b : backends()) {
        sketch_scores(b, queries, kv.view(), sketch, ls::tensor_view<float, 2>(found.data(), {s.kv_heads, s.keys}));
        CHECK(wrong(expected, found) == 0);
        ls::cpu const one(ls::cpu_options{.threads = 1, .level = b.isa_level()});
        sketch_scores(one, queries, kv.view(), sketch, ls::tensor_view<float, 2>(alone.data(), {s.kv_heads, s.keys}));
        CHECK(alone == found);
      }
    }
  }
}

TEST_CASE("the best rows are the reference's on every instruction set: infinities, numbers that are none, ties, zeros of both signs, bounds") {
  float const inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (int n : {1, 5, 33, 4096, 5003, 20000}) {
    auto s = ls::testing::normal_floats({static_cast<std::uint64_t>(n)}, 2 * n, 4);
    for (std::size_t i = 0; i < s.size(); i += 37) { s[i] = i % 2 == 0 ? inf : i % 3 == 0 ? nan : -inf; }
    for (bool const ties : {false, true}) {
      for (std::size_t i = 0; ties && i < s.size(); ++i) { s[i] = i % 5 == 0 ? -0.0F : std::floor(s[i] / 2); }
      ls::tensor_view<float const, 2> const scores(s.data(), {2, n});
      for (int k : {1, 40, n / 16, n / 9, n / 2, n}) {
        for (float const least : {-inf, -1.0F, 0.0F, 5.0F, 1000.0F, inf}) {
          auto const best = [&](auto const& b) {
            std::vector<int> rows(static_cast<std::size_t>(2 * (k + 1)), -1);
            top_k(b, scores, k, least, {2, k, rows.data(), rows.data() + 2 * k});
            return rows;
          };
          auto const expected = best(ls::reference(1));
          for (auto const& b : backends()) { CHECK(best(b) == expected); }
        }
      }
    }
  }
}
