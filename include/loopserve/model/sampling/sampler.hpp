// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <unordered_map>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/core/rng.hpp>

namespace loopserve {

/// How the next token is chosen. The defaults are greedy.
struct sampling_options {
  float temperature = 0.0F;         ///< 0 takes the most likely token; otherwise logits are divided by it
  int top_k = 0;                    ///< keep the k most likely tokens; 0 keeps all
  float top_p = 1.0F;               ///< keep the fewest most likely tokens whose probabilities reach p (Holtzman et al., 2020); 1 keeps all
  float min_p = 0.0F;               ///< keep tokens at least this fraction as likely as the most likely one (Nguyen et al., 2024)
  float repetition_penalty = 1.0F;  ///< logits of tokens in the history: positive ones divided, negative ones multiplied by it (Keskar et al., 2019)
  float presence_penalty = 0.0F;    ///< subtracted once from the logit of every token in the history
  float frequency_penalty = 0.0F;   ///< subtracted as often as the token stands in the history
  std::uint64_t seed = 0;
};

/// Chooses tokens from logits: penalties, then temperature, top-k, top-p, min-p in this order, then one draw. Draw i of a seed is a pure function of
/// (seed, i), so an answer repeats exactly, and a copied sampler goes on as its original does.
class sampler {
 public:
  sampler() = default;
  /// Throws `error` for options outside their ranges.
  explicit sampler(sampling_options const& options) : options_(options) {
    check(options.temperature >= 0.0F && std::isfinite(options.temperature), "the temperature must be finite and not negative");
    check(options.top_k >= 0, "top_k must not be negative");
    check(options.top_p > 0.0F && options.top_p <= 1.0F, "top_p must be in (0, 1]");
    check(options.min_p >= 0.0F && options.min_p <= 1.0F, "min_p must be in [0, 1]");
    check(options.repetition_penalty > 0.0F && std::isfinite(options.repetition_penalty), "the repetition penalty must be finite and greater than 0");
    check(std::isfinite(options.presence_penalty) && std::isfinite(options.frequency_penalty), "presence and frequency penalties must be finite");
  }

  /// logits (vocabulary) are changed by the penalties; -infinity excludes a token. `history` holds the tokens that penalties count. Equal logits go to the
  /// lower id. Throws `error` for NaN, +infinity, or nothing left to choose.
  token_id operator()(std::span<float> logits, std::span<token_id const> history = {}) {
    check(!logits.empty(), "there are no logits to sample from");
    penalise(logits, history);
    auto const best = most_likely(logits);
    auto const step = step_++;
    if (options_.temperature == 0.0F || options_.top_k == 1) { return best; }
    keep(logits, logits[static_cast<std::size_t>(raw(best))]);
    return draw(counter_rng{options_.seed}.uniform(step));
  }

  /// Whether the most likely token of the logits as they are is chosen, so that who has them may look for it himself.
  bool greedy() const { return (options_.temperature == 0.0F || options_.top_k == 1) && !penalises(); }

  /// The choice of a greedy sampler from logits whose largest is `logit`, that of token `best`. Throws `error` as the other does.
  token_id choose(int best, float logit) {
    check_largest(logit);
    ++step_;
    return token_id(best);
  }

  sampling_options const& options() const { return options_; }
  /// How many tokens were chosen; setting it back repeats the draws from there (after a rewind).
  std::uint64_t step() const { return step_; }
  void set_step(std::uint64_t step) { step_ = step; }

 private:
  struct candidate {
    float weight;  ///< exp((logit - largest) / temperature)
    std::int32_t id;
    bool operator<(candidate const& other) const { return weight < other.weight || (weight == other.weight && id > other.id); }
  };

  bool penalises() const { return options_.repetition_penalty != 1.0F || options_.presence_penalty != 0.0F || options_.frequency_penalty != 0.0F; }

  void penalise(std::span<float> logits, std::span<token_id const> history) const {
    if (!penalises()) { return; }
    std::unordered_map<std::int32_t, int> counts;
    for (auto id : history) { ++counts[raw(id)]; }
    for (auto [id, count] : counts) {
      if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) { continue; }
      auto& logit = logits[static_cast<std::size_t>(id)];
      logit = logit > 0.0F ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
      logit -= options_.presence_penalty + static_cast<float>(count) * options_.frequency_penalty;
    }
  }

  static void check_largest(float logit) {
    check(!std::isnan(logit), "a logit is not a number: the model's weights or activations are broken");
    check(std::isfinite(logit), "the largest logit is infinite, or every token is excluded: there is nothing to sample from");
  }

  static token_id most_likely(std::span<float const> logits) {
    std::size_t best = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (std::isnan(logits[i])) { check_largest(logits[i]); }
      if (logits[i] > logits[best]) { best = i; }
    }
    check_largest(logits[best]);
    return token_id(static_cast<std::int32_t>(best));
  }

  /// Fills kept_ with the tokens that pass the filters, most likely first where an order was needed.
  void keep(std::span<float const> logits, float largest) {
    kept_.clear();
    for (std::size_t i = 0; i < logits.size(); ++i) {
      auto const weight = std::exp((logits[i] - largest) / options_.temperature);
      if (weight > 0.0F) { kept_.push_back({weight, static_cast<std::int32_t>(i)}); }
    }
    auto const descending = [](candidate const& a, candidate const& b) { return b < a; };
    if (options_.top_k > 0 && static_cast<std::size_t>(options_.top_k) < kept_.size()) {
      auto const end = kept_.begin() + options_.top_k;
      std::nth_element(kept_.begin(), end, kept_.end(), descending);
      kept_.erase(end, kept_.end());
    }
    if (options_.top_p < 1.0F) { keep_nucleus(); }
    if (options_.min_p > 0.0F) {  // the most likely token has weight 1
      kept_.erase(std::remove_if(kept_.begin(), kept_.end(), [&](candidate const& c) { return c.weight < options_.min_p; }), kept_.end());
    }
  }

  void keep_nucleus() {
    auto const needed = total() * static_cast<double>(options_.top_p);
    // A heap gives the few most likely tokens without sorting the vocabulary.
    std::make_heap(kept_.begin(), kept_.end());
    double reached = 0.0;
    auto end = kept_.end();
    while (end != kept_.begin() && reached < needed) {
      std::pop_heap(kept_.begin(), end);
      --end;
      reached += static_cast<double>(end->weight);
    }
    kept_.erase(kept_.begin(), end);
    std::reverse(kept_.begin(), kept_.end());
  }

  double total() const {
    double sum = 0.0;
    for (auto const& c : kept_) { sum += static_cast<double>(c.weight); }
    return sum;
  }

  token_id draw(double uniform) const {
    auto left = uniform * total();
    for (auto const& c : kept_) {
      left -= static_cast<double>(c.weight);
      if (left < 0.0) { return token_id(c.id); }
    }
    return token_id(kept_.back().id);
  }

  sampling_options options_;
  std::uint64_t step_ = 0;
  std::vector<candidate> kept_;
};

}  // namespace loopserve
