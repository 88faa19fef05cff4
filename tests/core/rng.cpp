// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <set>

#include <loopserve/core/rng.hpp>

using loopserve::counter_rng;

TEST_CASE("a draw is a function of the stream's names and its number") {
  constexpr counter_rng a{1, 2, 3};
  static_assert(a.bits(5) == counter_rng{1, 2, 3}.bits(5));
  std::set<std::uint64_t> firsts;
  for (std::uint64_t i = 0; i < 10; ++i) {
    for (std::uint64_t j = 0; j < 10; ++j) {
      counter_rng const s{i, j};
      firsts.insert(s.bits(0));
      firsts.insert(s.bits(1));
    }
  }
  CHECK(firsts.size() == 200);
  CHECK(counter_rng{1, 2}.bits(0) != counter_rng{2, 1}.bits(0));
  CHECK(counter_rng{1}.bits(0) != counter_rng{1, 0}.bits(0));
}

TEST_CASE("the words are those of SplitMix64") {
  // A stream without names has the key 0: draw i is the i-th output of splitmix64.c (Vigna) for the seed 0.
  counter_rng const s{};
  CHECK(s.bits(0) == 0xe220a8397b1dcdafu);
  CHECK(s.bits(1) == 0x6e789e6aa1b965f4u);
  CHECK(s.bits(2) == 0x06c45d188009454fu);
}

TEST_CASE("draws are spread evenly, and stay in their range") {
  counter_rng const s{7};
  int const n = 70000;
  std::array<int, 7> bins{};
  double sum = 0;
  double square = 0;
  for (int i = 0; i < n; ++i) {
    auto const b = s.below(static_cast<std::uint64_t>(i), 7);
    REQUIRE(b < 7);
    ++bins[b];
    double const u = s.uniform(static_cast<std::uint64_t>(i));
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    sum += u;
    square += u * u;
  }
  for (int count : bins) { CHECK(std::abs(count - n / 7) < 5 * std::sqrt(n / 7.0)); }
  CHECK(std::fabs(sum / n - 0.5) < 0.005);
  CHECK(std::fabs(square / n - 1.0 / 3) < 0.005);
}
