// SPDX-License-Identifier: Apache-2.0
/// Tokens that a device draws are the host's, to the last one: weights are whole numbers, so nothing is left to rounding.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include <loopserve/model/sampling/sampler.hpp>
#include <loopserve/ops/argmax.cuh>
#include <loopserve/ops/penalties.cuh>
#include <loopserve/ops/sampling.cuh>

#include "device_test.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr std::uint64_t all_ones = std::numeric_limits<std::uint64_t>::max();

/// As logits lie: most far below the largest. In steps of 1 / levels where that is given, so that many are equal.
std::vector<float> logits_like(index_t count, std::uint64_t seed, double levels = 0) {
  auto v = numbers(count, seed);
  for (auto& x : v) {
    double const y = 24 * std::pow(static_cast<double>(x), 5) - 3;
    x = static_cast<float>(levels > 0 ? std::round(y * levels) / levels : y);
  }
  return v;
}

/// Draws of every kind: each filter alone, all of them, none, filters that keep all or one, temperatures that leave one token or all of them alike.
std::vector<token_draw> all_kinds(int vocabulary, std::uint64_t seed) {
  std::vector<token_draw> draws = {{1},
                                   {0},
                                   {1, 1},
                                   {1, 5},
                                   {0.7F, 50, 0.95F, 0.02F},
                                   {1.5F, 0, 0.8F},
                                   {1, 0, 1, 0.1F},
                                   {1, 0, 0.99F, 1e-6F},
                                   {2, vocabulary - 1, 0.999F},
                                   {1, vocabulary, 0.5F},
                                   {1, vocabulary + 7, 1, 1},
                                   {1, std::numeric_limits<int>::max(), 1e-30F},
                                   {1e-30F},
                                   {1e30F},
                                   {100, 300, 0.6F}};
  counter_rng const dice{seed};
  for (std::size_t i = 0; i < draws.size(); ++i) { draws[i].random = dice.bits(i); }
  return draws;
}

/// Rows of `logits` with a gap behind each, all drawn from at once.
void same_tokens(std::vector<float> const& logits, index_t width, index_t line, std::vector<token_draw> const& draws, int schedules = 0) {
  auto const rows = [&](float const* data) { return tensor_view<float const, 2>(data, {static_cast<index_t>(draws.size()), width}, {line, 1}); };
  auto const want = sample_tokens(oracle, rows(logits.data()), draws);
  each_device(
      [&](auto const& b) {
        CAPTURE(width);
        auto const there = on_device(b, logits);
        auto const got = sample_tokens(b, rows(there.data()), draws);
        REQUIRE(got.size() == want.size());
        for (std::size_t r = 0; r < got.size(); ++r) {
          CAPTURE(r);
          CHECK(got[r].at == want[r].at);
          CHECK((got[r].value == want[r].value || (std::isnan(got[r].value) && std::isnan(want[r].value))));
        }
      },
      schedules);
}

}  // namespace

TEST_CASE("tokens of ragged rows with settings of their own are the host's") {
  constexpr int tile = token_search::tile;
  for (int const n : {1, 2, 1003, tile, 2 * tile + 1}) {
    auto const draws = all_kinds(n, static_cast<std::uint64_t>(n));
    index_t const line = n + 3;
    same_tokens(logits_like(static_cast<index_t>(draws.size()) * line, 1), n, line, draws, n < tile ? 0 : 2);
  }
}

TEST_CASE("of equal logits the lower ids come first, within a tile and across tiles") {
  constexpr int n = token_search::tile + 700;
  auto const draws = all_kinds(n, 5);
  auto const rows = static_cast<index_t>(draws.size());
  same_tokens(logits_like(rows * n, 2, 2), n, n, draws, 2);
  same_tokens(std::vector<float>(static_cast<std::size_t>(rows * n), 0.5F), n, n, draws, 1);
  // Keys that differ in the last digit only, and zeros of both signs.
  auto close = std::vector<float>(static_cast<std::size_t>(rows * n), 1.0F);
  for (std::size_t i = 0; i < close.size(); i += 3) { close[i] = 1 + 0x1p-23F; }
  same_tokens(close, n, n, draws, 1);
  auto zeros = std::vector<float>(static_cast<std::size_t>(rows * n), -0.0F);
  for (std::size_t i = 0; i < zeros.size(); i += 2) { zeros[i] = 0; }
  same_tokens(zeros, n, n, draws, 1);
}

TEST_CASE("the ends of the random numbers draw the first and the last of what is kept") {
  constexpr int n = token_search::tile + 90;
  for (double const levels : {0.0, 3.0}) {
    std::vector<token_draw> draws;
    for (auto const random : {std::uint64_t{0}, all_ones}) {
      for (auto const& d : {token_draw{1}, token_draw{1, 70}, token_draw{1, 0, 0.7F}, token_draw{1, 0, 1, 0.1F}, token_draw{1, 90, 0.8F, 0.05F}}) {
        draws.push_back(d);
        draws.back().random = random;
      }
    }
    same_tokens(logits_like(static_cast<index_t>(draws.size()) * n, 7, levels), n, n, draws);
  }
}

TEST_CASE("rows that cannot be drawn from are told as the host tells them, and harm no others") {
  constexpr int n = token_search::tile + 5;
  std::vector<token_draw> const draws(7, token_draw{1, 50, 0.9F, 0.01F, 12345});
  auto logits = logits_like(7 * n, 3);
  auto const row = [&](int r) { return logits.begin() + r * n; };
  row(0)[n - 1] = NAN;
  row(1)[7] = infinity;
  std::fill(row(2), row(3), -infinity);
  std::fill(row(3), row(4), -infinity);
  row(3)[n - 2] = -80;
  row(4)[3] = -NAN;
  row(4)[9] = infinity;
  for (int i = 0; i < n; i += 2) { row(5)[i] = -infinity; }
  same_tokens(logits, n, n, draws);
  each_device([&](auto const& b) {
    auto const there = on_device(b, logits);
    auto const got = sample_tokens(b, tensor_view<float const, 2>(there.data(), {7, n}), draws);
    sampler pick({.temperature = 1});
    for (std::size_t const r : {0U, 1U, 2U, 4U}) { CHECK_THROWS_AS(pick.choose(got[r]), error); }
    CHECK(pick.step() == 0);
    CHECK(pick.choose(got[3]) == token_id{n - 2});
    CHECK(pick.step() == 1);
  });
}

TEST_CASE("a vocabulary of 262144, and as much weight as there can be") {
  constexpr index_t n = 262144;
  std::vector<token_draw> const draws = {{3, 200000, 0.999F, 1e-5F, all_ones / 3}};
  same_tokens(logits_like(n, 9), n, n, draws, 1);
  std::vector<token_draw> const last = {{1, 0, 1, 0, all_ones}};
  same_tokens(std::vector<float>(static_cast<std::size_t>(most_candidates), 3.0F), most_candidates, most_candidates, last, 1);
}

TEST_CASE("tokens come as often as the exact distribution says") {
  constexpr int n = 300, rows = 250;
  auto const row = logits_like(n, 12);
  std::vector<float> logits;
  for (int r = 0; r < rows; ++r) { logits.insert(logits.end(), row.begin(), row.end()); }
  float const largest = *std::max_element(row.begin(), row.end());
  each_device(
      [&](auto const& b) {
        auto const there = on_device(b, logits);
        std::map<int, int> seen;
        counter_rng const dice{3};
        int drawn = 0;
        for (int round = 0; round < 4; ++round) {
          std::vector<token_draw> draws(rows, token_draw{2});
          for (auto& d : draws) { d.random = dice.bits(static_cast<std::uint64_t>(drawn++)); }
          for (auto const& best : sample_tokens(b, tensor_view<float const, 2>(there.data(), {rows, n}), draws)) { ++seen[best.at]; }
        }
        double total = 0, chi = 0, rest = drawn;
        int cells = 0, rest_seen = drawn;
        for (float const x : row) { total += std::exp((static_cast<double>(x) - largest) / 2); }
        for (int i = 0; i < n; ++i) {  // what is seldom drawn is one cell
          double const expected = drawn * std::exp((static_cast<double>(row[static_cast<std::size_t>(i)]) - largest) / 2) / total;
          if (expected < 5) { continue; }
          chi += (seen[i] - expected) * (seen[i] - expected) / expected;
          ++cells;
          rest -= expected;
          rest_seen -= seen[i];
        }
        CHECK(cells > 5);
        chi += (rest_seen - rest) * (rest_seen - rest) / rest;
        CHECK(chi < cells + 3.3 * std::sqrt(2.0 * cells) + 4);  // about 1 in 1000; the numbers are always the same
      },
      1);
}

TEST_CASE("an answer of many draws is the host's sampler's, with penalties and without") {
  constexpr int n = 700, steps = 30;
  std::vector<sampling_options> const settings = {{},
                                                  {.temperature = 1, .seed = 4},
                                                  {.repetition_penalty = 1.3F},
                                                  {.temperature = 0.8F, .top_k = 40, .top_p = 0.95F, .seed = 5},
                                                  {.temperature = 1.2F, .min_p = 0.05F, .repetition_penalty = 1.1F, .presence_penalty = 0.3F, .seed = 6},
                                                  {.temperature = 1, .frequency_penalty = 0.7F, .seed = 7}};
  auto const rows = static_cast<int>(settings.size());
  std::vector<token_id> const prompt = {token_id{3}, token_id{5}, token_id{3}, token_id{699}};
  each_device([&](auto const& b) {
    std::vector<sampler> host, device;
    std::vector<std::vector<token_id>> said(settings.size(), prompt);
    auto const tokens = on_device(b, prompt);
    std::vector<decltype(on_device(b, std::vector<int>{}))> counts;
    for (auto const& s : settings) {
      host.emplace_back(s);
      device.emplace_back(s);
      counts.push_back(on_device(b, std::vector<int>(n, 0)));
      count_tokens(b, std::span<token_id const>(tokens.data(), prompt.size()), std::span<int>(counts.back().data(), n));
    }
    for (int step = 0; step < steps; ++step) {
      auto const logits = logits_like(rows * n, static_cast<std::uint64_t>(100 + step % 4));
      std::vector<penalised_row> penalised;
      std::vector<token_draw> draws;
      for (int r = 0; r < rows; ++r) {
        auto const i = static_cast<std::size_t>(r);
        auto const newest = step == 0 ? token_id{-1} : said[i].back();
        if (device[i].penalises()) { penalised.push_back({r, newest, device[i].penalties(), counts[i].data()}); }
        draws.push_back(device[i].draw());
      }
      auto there = on_device(b, logits);
      tensor_view<float, 2> const view(there.data(), {rows, n});
      penalise_logits(b, view, penalised);
      auto const got = sample_tokens(b, tensor_view<float const, 2>(view), draws);
      for (std::size_t i = 0; i < settings.size(); ++i) {
        CAPTURE(step);
        CAPTURE(i);
        std::vector<float> row(logits.begin() + static_cast<std::ptrdiff_t>(i) * n, logits.begin() + static_cast<std::ptrdiff_t>(i + 1) * n);
        auto const want = host[i](row, said[i]);
        CHECK(device[i].choose(got[i]) == want);
        said[i].push_back(want);
      }
    }
  });
}

TEST_CASE("penalties are the reference's, bit by bit, and tokens outside of the vocabulary count for nothing") {
  for (int const n : {1, 257, 1000}) {
    std::vector<token_id> tokens;
    counter_rng const dice{31};
    for (std::uint64_t i = 0; i < 700; ++i) { tokens.push_back(token_id{static_cast<int>(dice.below(i, static_cast<std::uint64_t>(n) + 40)) - 20}); }
    std::vector<int> want_counts(static_cast<std::size_t>(n), 0), other(static_cast<std::size_t>(n), 1);
    count_tokens(oracle, tokens, want_counts);
    auto const logits = numbers(3 * (n + 2), 6, 10);
    auto want = logits;
    auto const view = [&](float* data) { return tensor_view<float, 2>(data, {3, n}, {n + 2, 1}); };
    auto const list = [&](int* first, int* second) {
      return std::vector<penalised_row>{{2, token_id{n - 1}, {1.37F, 0.21F, 0.113F}, first}, {0, token_id{-1}, {0.9F, -0.3F, 0}, second}};
    };
    auto counted = want_counts;
    penalise_logits(oracle, view(want.data()), list(counted.data(), other.data()));
    each_device([&](auto const& b) {
      CAPTURE(n);
      auto const there = on_device(b, tokens);
      auto counts = on_device(b, std::vector<int>(static_cast<std::size_t>(n), 0)), second = on_device(b, other);
      count_tokens(b, std::span<token_id const>(there.data(), tokens.size()), std::span<int>(counts.data(), static_cast<std::size_t>(n)));
      CHECK(on_host(b, counts) == want_counts);
      auto got = on_device(b, logits);
      penalise_logits(b, view(got.data()), list(counts.data(), second.data()));
      CHECK(on_host(b, got) == want);
      CHECK(on_host(b, counts) == counted);
    });
  }
}

TEST_CASE("what does not fit is refused before anything is queued, and nothing to do is nothing") {
  each_device([&](auto const& b) {
    auto x = b.template make_buffer<float>(12);
    tensor_view<float, 2> const rows(x.data(), {2, 6});
    std::vector<token_draw> const one(1), two(2);
    CHECK_THROWS_AS(sample_tokens(b, tensor_view<float const, 2>(rows), one), error);
    CHECK_THROWS_AS(sample_tokens(b, tensor_view<float const, 2>(x.data(), {2, 0}), two), error);
    CHECK_THROWS_AS(sample_tokens(b, tensor_view<float const, 2>(x.data(), {1, most_candidates + 1}), one), error);
    CHECK(sample_tokens(b, tensor_view<float const, 2>(x.data(), {0, 6}), std::span<token_draw const>{}).empty());
    penalised_row const outside{2, token_id{-1}, {}, nullptr};
    CHECK_THROWS_AS(penalise_logits(b, rows, std::span<penalised_row const>(&outside, 1)), error);
    penalise_logits(b, rows, std::span<penalised_row const>{});
    count_tokens(b, std::span<token_id const>{}, std::span<int>{});
  });
}
