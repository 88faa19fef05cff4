// SPDX-License-Identifier: Apache-2.0
/// Weights against exp in long double; tokens against a sort of the whole vocabulary; frequencies against the exact distribution.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/ops/penalties.hpp>
#include <loopserve/ops/sampling.hpp>

using namespace loopserve;

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr std::uint64_t all_ones = std::numeric_limits<std::uint64_t>::max();

/// Normal-like, of deviation `scale`; in steps of 1 / `levels` where that is given, so that many are equal.
std::vector<float> random_logits(int n, std::uint64_t seed, double scale, double levels = 0) {
  counter_rng const draw{seed};
  std::vector<float> v;
  for (int i = 0; i < n; ++i) {
    double sum = -3;
    for (int j = 0; j < 6; ++j) { sum += draw.uniform(static_cast<std::uint64_t>(6 * i + j)); }
    v.push_back(static_cast<float>(levels > 0 ? std::round(sum * 1.4 * scale * levels) / levels : sum * 1.4 * scale));
  }
  return v;
}

/// The candidates that the filters keep, in their order, by the definition.
std::vector<int> kept_by_sorting(std::vector<float> const& logits, token_draw const& d) {
  std::vector<int> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)]; });
  float const largest = logits[static_cast<std::size_t>(order[0])];
  auto const weight = [&](int id) { return static_cast<long double>(token_weight(logits[static_cast<std::size_t>(id)], largest, d.temperature)); };
  if (d.top_k > 0) { order.resize(std::min(order.size(), static_cast<std::size_t>(d.top_k))); }
  if (d.top_p < 1) {
    long double total = 0, sum = 0;
    for (int const id : order) { total += weight(id); }
    std::size_t kept = 0;
    while (sum < total * static_cast<long double>(d.top_p)) { sum += weight(order[kept++]); }
    order.resize(kept);
  }
  std::erase_if(order, [&](int id) { return weight(id) == 0 || weight(id) < static_cast<long double>(d.min_p) * 0x1p42L; });
  return order;
}

int drawn_by_sorting(std::vector<float> const& logits, token_draw const& d) {
  auto const kept = kept_by_sorting(logits, d);
  float const largest = *std::max_element(logits.begin(), logits.end());
  unsigned __int128 total = 0, sum = 0;
  for (int const id : kept) { total += token_weight(logits[static_cast<std::size_t>(id)], largest, d.temperature); }
  for (int const id : kept) {
    sum += token_weight(logits[static_cast<std::size_t>(id)], largest, d.temperature);
    if (sum > total * d.random >> 64) { return id; }
  }
  return -1;
}

row_best sampled(std::vector<float> const& logits, token_draw const& d) {
  tensor_view<float const, 2> const row(logits.data(), {1, static_cast<index_t>(logits.size())});
  return sample_tokens(reference(1), row, {&d, 1})[0];
}

}  // namespace

TEST_CASE("a weight is exp of the distance in whole numbers, and never grows with it: for every fraction of a power of two") {
  constexpr std::uint32_t one = 1U << 24;
  for (std::uint32_t const halvings : {0U, 1U, 12U, 30U, 42U}) {
    std::uint64_t last = detail::distance_weight(halvings * one);
    CHECK(last == most_weight >> halvings);
    for (std::uint32_t f = 0; f < one; f += halvings % 2 == 0 ? 1 : 7) {
      auto const weight = detail::distance_weight(halvings * one + f);
      if (!(weight <= last)) { FAIL(halvings << ", " << f << ": more than the one before"); }
      last = weight;
      double const exact = std::ldexp(std::exp2(-static_cast<double>(f) / one), 42 - static_cast<int>(halvings));
      if (f % 64 == 0 && !(std::fabs(static_cast<double>(weight) - exact) <= 0.5 + exact * 0x1p-28)) { FAIL(halvings << ", " << f << ": " << weight); }
    }
    if (halvings < 42) { CHECK(detail::distance_weight((halvings + 1) * one) <= last); }
  }
  for (float const temperature : {1.0F, 0.3F, 7.0F}) {
    std::uint64_t last = most_weight;
    for (int i = 0; i < 400000; ++i) {
      float const logit = 8 - static_cast<float>(i) * 0x1p-13F;  // to about 49 below
      auto const weight = token_weight(logit, 8, temperature);
      double const distance = (8.0 - static_cast<double>(logit)) / static_cast<double>(temperature), exact = std::exp(-distance) * 0x1p42;
      if (!(std::fabs(static_cast<double>(weight) - exact) <= 0.6 + exact * (distance + 1) * 0x1p-22)) { FAIL("logit " << logit << ": " << weight); }
      if (!(weight <= last)) { FAIL("logit " << logit << " weighs more than the one before"); }
      last = weight;
    }
  }
  CHECK(token_weight(2, 2, 1e-30F) == most_weight);
  CHECK(token_weight(1, 2, 1e-30F) == 0);
  CHECK(token_weight(1, 2, std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(token_weight(-inf, 2, 1) == 0);
  CHECK(token_weight(-inf, 2, 1e30F) == 0);
  CHECK(token_weight(NAN, 2, 1) == 0);
  CHECK(token_weight(-3e38F, 3e38F, 1) == 0);
}

TEST_CASE("shares of weight are rounded up and stay within the total") {
  CHECK(least_weight(0) == 0);
  CHECK(least_weight(1) == most_weight);
  CHECK(least_weight(0.5F) == most_weight / 2);
  CHECK(least_weight(1e-30F) == 1);
  CHECK(nucleus_weight(2 * most_weight, 0.5F) == most_weight);
  CHECK(nucleus_weight(7, 0.5F) == 4);
  CHECK(nucleus_weight(most_weight, 1e-45F) == 1);
  float const below_one = std::nextafter(1.0F, 0.0F);
  for (auto const total : {most_weight, most_weight + 1, std::uint64_t{1} << 63, (std::uint64_t{1} << 63) - 1}) { CHECK(nucleus_weight(total, below_one) <= total); }
  CHECK(drawn_weight(5, 0) == 1);
  CHECK(drawn_weight(5, all_ones) == 5);
}

TEST_CASE("the token is the one that a sort of the whole vocabulary gives, whatever the filters") {
  counter_rng const dice{11};
  std::uint64_t i = 0;
  for (int const n : {1, 2, 3, 37, 1000, 5003}) {
    for (double const levels : {0.0, 4.0}) {
      auto const logits = random_logits(n, 5 + i, 3, levels);
      for (float const temperature : {1.0F, 0.05F, 20.0F}) {
        for (int const k : {0, 2, n / 3, n, n + 10}) {
          for (float const p : {1.0F, 0.9F, 0.3F}) {
            for (float const m : {0.0F, 0.2F}) {
              token_draw const d{temperature, k, p, m, dice.bits(i++)};
              if (!d.draws()) { continue; }
              CHECK(sampled(logits, d).at == drawn_by_sorting(logits, d));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("the first and the last of what is kept are drawn by the ends of the random numbers") {
  auto const logits = random_logits(300, 3, 2, 8);
  for (auto const& filters : {token_draw{1}, token_draw{1, 40}, token_draw{1, 0, 0.7F}, token_draw{1, 0, 1, 0.1F}, token_draw{1, 90, 0.8F, 0.05F}}) {
    auto d = filters;
    auto const kept = kept_by_sorting(logits, d);
    d.random = 0;
    CHECK(sampled(logits, d).at == kept.front());
    d.random = all_ones;
    CHECK(sampled(logits, d).at == kept.back());
  }
}

TEST_CASE("tokens come as often as the exact distribution says") {
  auto const logits = random_logits(60, 8, 1.5);
  for (auto const& filters : {token_draw{1.3F}, token_draw{1, 12}, token_draw{0.8F, 0, 0.8F}, token_draw{1, 0, 1, 0.15F}}) {
    int const draws = 40000;
    std::vector<int> seen(logits.size(), 0);
    auto d = filters;
    for (int i = 0; i < draws; ++i) {
      d.random = counter_rng{21}.bits(static_cast<std::uint64_t>(i));
      ++seen[static_cast<std::size_t>(sampled(logits, d).at)];
    }
    auto const kept = kept_by_sorting(logits, d);
    double total = 0, chi = 0;
    auto const weight = [&](int id) { return std::exp(static_cast<double>(logits[static_cast<std::size_t>(id)]) / static_cast<double>(d.temperature)); };
    for (int const id : kept) { total += weight(id); }
    int counted = 0;
    for (int const id : kept) {
      double const expected = weight(id) / total * draws, got = seen[static_cast<std::size_t>(id)];
      chi += (got - expected) * (got - expected) / expected;
      counted += seen[static_cast<std::size_t>(id)];
    }
    CHECK(counted == draws);
    double const freedom = static_cast<double>(kept.size()) - 1;
    CHECK(chi < freedom + 3.3 * std::sqrt(2 * freedom) + 4);  // about 1 in 1000
  }
}

TEST_CASE("rows that take their largest, and rows from which nothing can be drawn") {
  std::vector<float> const logits = {1, 3, 3, 0, 1, inf, 0, 0, -inf, -inf, -inf, -inf, 0, NAN, 9, NAN, -0.0F, 0.0F, -1, -2};
  std::vector<token_draw> const draws = {{}, {1}, {1}, {1}, {1, 2, 1, 0, all_ones}};
  auto const got = sample_tokens(reference(2), tensor_view<float const, 2>(logits.data(), {5, 4}), draws);
  CHECK(got[0].at == 1);
  CHECK(got[0].value == 3);
  CHECK(got[1].at == 1);
  CHECK(got[1].value == inf);
  CHECK(got[2].value == -inf);
  CHECK(std::isnan(got[3].value));
  CHECK(got[4].at == 1);
}

TEST_CASE("the cpu backend's rows are the reference's, on one thread or several") {
  constexpr int n = 9000, rows = 7;
  std::vector<float> logits;
  std::vector<token_draw> draws;
  for (int r = 0; r < rows; ++r) {
    auto const row = random_logits(n, static_cast<std::uint64_t>(40 + r), 3);
    logits.insert(logits.end(), row.begin(), row.end());
    draws.push_back({static_cast<float>(r) / 2, 10 * r, 0.9F, 0.01F, counter_rng{2}.bits(static_cast<std::uint64_t>(r))});
  }
  tensor_view<float const, 2> const view(logits.data(), {rows, n});
  auto const want = sample_tokens(reference(1), view, draws);
  for (int const threads : {1, 3}) {
    auto const got = sample_tokens(cpu(threads), view, draws);
    for (std::size_t r = 0; r < want.size(); ++r) {
      CHECK(got[r].at == want[r].at);
      CHECK(got[r].value == want[r].value);
    }
  }
}

TEST_CASE("what does not fit is refused") {
  std::vector<float> const logits(8, 0.0F);
  std::vector<token_draw> const draws(2);
  auto const rows = [&](index_t n, index_t width) { return tensor_view<float const, 2>(logits.data(), {n, width}); };
  CHECK_THROWS_AS(sample_tokens(reference(1), rows(1, 8), draws), error);
  CHECK_THROWS_AS(sample_tokens(reference(1), rows(2, 0), draws), error);
  CHECK_THROWS_AS(sample_tokens(reference(1), rows(2, most_candidates + 1), draws), error);
  CHECK(sample_tokens(reference(1), rows(0, 4), {}).empty());
}

TEST_CASE("penalties lower what was seen, and the newest token counts from now on") {
  std::vector<token_id> const tokens = {token_id{1}, token_id{2}, token_id{1}, token_id{99}, token_id{-1}};
  std::vector<int> counts(4, 0);
  count_tokens(reference(1), tokens, counts);
  CHECK(counts == std::vector<int>{0, 2, 1, 0});
  std::vector<float> logits = {5, 5, 5, 5, 4, 4, -4, 4};
  penalised_row const row{1, token_id{3}, {2, 0.25F, 0.5F}, counts.data()};
  penalise_logits(reference(1), tensor_view<float, 2>(logits.data(), {2, 4}), {&row, 1});
  CHECK(logits == std::vector<float>{5, 5, 5, 5, 4, 0.75F, -8.75F, 1.25F});
  CHECK(counts == std::vector<int>{0, 2, 1, 1});
  penalised_row const outside{2, token_id{-1}, {}, counts.data()};
  CHECK_THROWS_AS(penalise_logits(reference(1), tensor_view<float, 2>(logits.data(), {2, 4}), {&outside, 1}), error);
}
