// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/config.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// What lowers the logits of tokens that were seen before.
struct token_penalties {
  float repetition = 1;  ///< positive logits are divided, others multiplied by it (Keskar et al., 2019)
  float presence = 0;    ///< subtracted once
  float frequency = 0;   ///< subtracted as often as the token was seen
};

/// The logit of a token that was seen `count` > 0 times. In float64, where the products of two floats are exact, so that it makes no difference whether a compiler
/// joins them with the sums.
LOOPSERVE_HOST_DEVICE inline float penalised(float logit, int count, token_penalties const& by) {
  double const x = logit, repetition = by.repetition;
  return static_cast<float>((x > 0 ? x / repetition : x * repetition) - (by.presence + static_cast<double>(count) * by.frequency));
}

/// A row of logits whose seen tokens are penalised.
struct penalised_row {
  int row = 0;
  token_id newest{-1};    ///< seen once more than `counts` says, which is brought up to date; a negative one: none
  token_penalties by;
  int* counts = nullptr;  ///< (vocabulary), in the backend's memory; no two rows share them
};

/// Adds how often each token stands in `tokens` to `counts`, both in the backend's memory; tokens outside are passed over.
inline void count_tokens(reference const&, std::span<token_id const> tokens, std::span<int> counts) {
  for (auto const token : tokens) {
    if (raw(token) >= 0 && static_cast<std::size_t>(raw(token)) < counts.size()) { ++counts[static_cast<std::size_t>(raw(token))]; }
  }
}

/// Penalises the named rows of `logits` (rows, vocabulary). The list is the host's.
inline void penalise_logits(reference const&, tensor_view<float, 2> logits, std::span<penalised_row const> rows) {
  for (auto const& p : rows) {
    check(p.row >= 0 && p.row < logits.extent(0), "penalise_logits: a row that is not there");
    if (raw(p.newest) >= 0 && raw(p.newest) < logits.extent(1)) { ++p.counts[raw(p.newest)]; }
    for (index_t i = 0; i < logits.extent(1); ++i) {
      if (p.counts[i] > 0) { logits(p.row, i) = penalised(logits(p.row, i), p.counts[i], p.by); }
    }
  }
}

}  // namespace loopserve
