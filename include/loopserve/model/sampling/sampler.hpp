// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <unordered_map>

#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/core/rng.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/ops/penalties.hpp>
#include <loopserve/ops/sampling.hpp>

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

/// Chooses tokens from logits: penalties, then temperature, top-k, top-p, min-p in this order, then one draw (sample_tokens says how). Draw i of a seed is a pure
/// function of (seed, i), so an answer repeats exactly, and a copied sampler goes on as its original does.
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
    auto const d = draw();
    tensor_view<float const, 2> const row(logits.data(), {1, static_cast<index_t>(logits.size())});
    return choose(sample_tokens(reference(1), row, {&d, 1})[0]);
  }

  /// For who has the logits elsewhere: what sample_tokens is to draw next, once they are penalised.
  token_draw draw() const {
    return {options_.temperature, options_.top_k, options_.top_p, options_.min_p, counter_rng{options_.seed}.bits(step_)};
  }
  bool penalises() const { return options_.repetition_penalty != 1.0F || options_.presence_penalty != 0.0F || options_.frequency_penalty != 0.0F; }
  token_penalties penalties() const { return {options_.repetition_penalty, options_.presence_penalty, options_.frequency_penalty}; }

  /// Takes what sample_tokens found. Throws `error` as the other does.
  token_id choose(row_best const& found) {
    check(!std::isnan(found.value), "a logit is not a number: the model's weights or activations are broken");
    check(std::isfinite(found.value), "the largest logit is infinite, or every token is excluded: there is nothing to sample from");
    ++step_;
    return token_id(found.at);
  }

  sampling_options const& options() const { return options_; }
  /// How many tokens were chosen; setting it back repeats the draws from there (after a rewind).
  std::uint64_t step() const { return step_; }
  void set_step(std::uint64_t step) { step_ = step; }

 private:
  void penalise(std::span<float> logits, std::span<token_id const> history) const {
    if (!penalises()) { return; }
    std::unordered_map<std::int32_t, int> counts;
    for (auto id : history) { ++counts[raw(id)]; }
    for (auto [id, count] : counts) {
      if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) { continue; }
      auto& logit = logits[static_cast<std::size_t>(id)];
      logit = penalised(logit, count, penalties());
    }
  }

  sampling_options options_;
  std::uint64_t step_ = 0;
};

}  // namespace loopserve
