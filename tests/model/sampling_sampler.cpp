// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include <loopserve/model/sampling/sampler.hpp>

using namespace loopserve;

namespace {

std::vector<float> const logits_of_test = {0.5F, 2.0F, -1.0F, 1.0F, 2.0F, 0.0F, -3.0F, 1.5F};

token_id choose(sampler& s, std::vector<float> logits, std::vector<token_id> const& history = {}) { return s(logits, history); }

/// How often each token comes in `draws` draws.
std::vector<int> counts(sampling_options options, int draws, std::vector<token_id> const& history = {}) {
  sampler s(options);
  std::vector<int> out(logits_of_test.size());
  for (int i = 0; i < draws; ++i) { ++out[static_cast<std::size_t>(raw(choose(s, logits_of_test, history)))]; }
  return out;
}

std::set<int> support(sampling_options options) {
  std::set<int> out;
  auto const n = counts(options, 20000);
  for (std::size_t i = 0; i < n.size(); ++i) {
    if (n[i] > 0) { out.insert(static_cast<int>(i)); }
  }
  return out;
}

/// Pearson's statistic of counts against probabilities proportional to `weights`.
double chi_square(std::vector<int> const& n, std::vector<double> const& weights, int draws) {
  double sum = 0;
  for (auto w : weights) { sum += w; }
  double chi = 0;
  for (std::size_t i = 0; i < n.size(); ++i) {
    if (weights[i] == 0) {
      if (n[i] != 0) { return std::numeric_limits<double>::infinity(); }
      continue;
    }
    auto const expected = weights[i] / sum * draws;
    chi += (n[i] - expected) * (n[i] - expected) / expected;
  }
  return chi;
}

}  // namespace

TEST_CASE("greedy takes the largest logit, and the lower id of equal ones") {
  sampler s;
  CHECK(choose(s, logits_of_test) == token_id{1});
  CHECK(choose(s, {1.0F, 1.0F, 1.0F}) == token_id{0});
  CHECK(choose(s, {-std::numeric_limits<float>::infinity(), -5.0F}) == token_id{1});
}

TEST_CASE("temperature samples the softmax") {
  int const draws = 40000;
  for (float temperature : {0.5F, 1.0F, 2.0F}) {
    std::vector<double> weights;
    for (auto x : logits_of_test) { weights.push_back(std::exp(static_cast<double>(x) / static_cast<double>(temperature))); }
    auto const chi = chi_square(counts({.temperature = temperature, .seed = 7}, draws), weights, draws);
    CHECK(chi < 24.3);  // 7 degrees of freedom, 1 in 1000
  }
}

TEST_CASE("the filters keep exactly the sets they name") {
  CHECK(support({.temperature = 1, .top_k = 3}) == std::set<int>{1, 4, 7});
  CHECK(support({.temperature = 5, .top_k = 1}) == std::set<int>{1});
  CHECK(support({.temperature = 1, .top_k = 100}) == std::set<int>{0, 1, 2, 3, 4, 5, 6, 7});
  // exp: 1.65 7.39 0.37 2.72 7.39 1 0.05 4.48, sum 25.04
  CHECK(support({.temperature = 1, .top_p = 0.29F}) == std::set<int>{1});
  CHECK(support({.temperature = 1, .top_p = 0.31F}) == std::set<int>{1, 4});
  CHECK(support({.temperature = 1, .top_p = 0.60F}) == std::set<int>{1, 4, 7});
  CHECK(support({.temperature = 1, .min_p = 0.3F}) == std::set<int>{1, 3, 4, 7});
  CHECK(support({.temperature = 1, .top_k = 4, .min_p = 0.5F}) == std::set<int>{1, 4, 7});
  // top-p looks at what top-k left: 1 and 4 are half each of it.
  CHECK(support({.temperature = 1, .top_k = 2, .top_p = 0.4F}) == std::set<int>{1});
}

TEST_CASE("inside a kept set the proportions stay") {
  int const draws = 40000;
  std::vector<double> weights(8, 0.0);
  for (auto i : {1U, 4U, 7U}) { weights[i] = std::exp(static_cast<double>(logits_of_test[i])); }
  CHECK(chi_square(counts({.temperature = 1, .top_k = 3, .seed = 3}, draws), weights, draws) < 13.8);
  CHECK(chi_square(counts({.temperature = 1, .top_p = 0.6F, .seed = 4}, draws), weights, draws) < 13.8);
}

TEST_CASE("penalties") {
  std::vector<token_id> const history = {token_id{1}, token_id{2}, token_id{1}, token_id{99}};
  auto logits = logits_of_test;
  sampler repetition({.repetition_penalty = 2.0F});
  CHECK(repetition(logits, history) == token_id{4});
  CHECK(logits[1] == 1.0F);
  CHECK(logits[2] == -2.0F);
  logits = logits_of_test;
  sampler both({.presence_penalty = 0.25F, .frequency_penalty = 0.5F});
  CHECK(both(logits, history) == token_id{4});
  CHECK(logits[1] == 0.75F);
  CHECK(logits[2] == -1.75F);
  CHECK(logits[0] == 0.5F);
}

TEST_CASE("draws repeat with the seed, differ between seeds, and go on in copies") {
  sampler a({.temperature = 1, .seed = 5});
  sampler b({.temperature = 1, .seed = 5});
  sampler c({.temperature = 1, .seed = 6});
  int different = 0;
  for (int i = 0; i < 50; ++i) {
    auto const x = choose(a, logits_of_test);
    CHECK(x == choose(b, logits_of_test));
    different += x != choose(c, logits_of_test) ? 1 : 0;
  }
  CHECK(different > 10);
  auto copy = a;
  CHECK(choose(copy, logits_of_test) == choose(a, logits_of_test));
  a.set_step(3);
  b.set_step(3);
  CHECK(choose(a, logits_of_test) == choose(b, logits_of_test));
  CHECK(a.step() == 4);
}

TEST_CASE("what cannot be sampled is an error") {
  sampler s;
  auto const nan = std::numeric_limits<float>::quiet_NaN();
  auto const inf = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(choose(s, {1.0F, nan}), error);
  CHECK_THROWS_AS(choose(s, {nan, 1.0F}), error);
  CHECK_THROWS_AS(choose(s, {inf, 1.0F}), error);
  CHECK_THROWS_AS(choose(s, {-inf, -inf}), error);
  CHECK_THROWS_AS(choose(s, {}), error);
  CHECK_THROWS_AS(sampler({.temperature = -1}), error);
  CHECK_THROWS_AS(sampler({.temperature = nan}), error);
  CHECK_THROWS_AS(sampler({.top_k = -1}), error);
  CHECK_THROWS_AS(sampler({.top_p = 0}), error);
  CHECK_THROWS_AS(sampler({.min_p = 1.5F}), error);
  CHECK_THROWS_AS(sampler({.repetition_penalty = 0}), error);
}
