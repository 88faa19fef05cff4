// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/ops/argmax.hpp>
#include <loopserve/ops/lanes.hpp>
#include <loopserve/ops/sampling_weight.hpp>

namespace loopserve {

namespace detail {

struct candidate {
  float logit;
  std::int32_t id;
  std::uint64_t weight;
};

using candidate_place = std::vector<candidate>::iterator;

inline bool stands_before(candidate const& a, candidate const& b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

inline std::uint64_t weight_of(candidate_place first, candidate_place last) {
  std::uint64_t sum = 0;
  for (; first != last; ++first) { sum += first->weight; }
  return sum;
}

/// The first candidate at which the sum of weights reaches `weight`; those that stand before it come before it then. Weights of all of them reach it. Whatever
/// holds most of the weight is few, so a quarter is looked at first.
inline candidate_place place_of(candidate_place first, candidate_place last, std::uint64_t weight) {
  while (last - first > 1) {
    auto const middle = first + (last - first + 3) / 4;
    std::nth_element(first, middle, last, stands_before);
    auto const before = weight_of(first, middle);
    if (before >= weight) {
      last = middle;
    } else {
      weight -= before;
      first = middle;
    }
  }
  return first;
}

/// The token that `draw` gives, draw.draws(), where the largest of the logits is finite. `room` is for the candidates.
inline int drawn_token(std::span<float const> logits, float largest, token_draw const& draw, std::vector<candidate>& room) {
  room.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    auto const weight = token_weight(logits[i], largest, draw.temperature);
    if (weight > 0) { room.push_back({logits[i], static_cast<std::int32_t>(i), weight}); }
  }
  auto const first = room.begin();
  auto last = room.end();
  if (draw.top_k > 0 && draw.top_k < last - first) {
    std::nth_element(first, first + draw.top_k, last, stands_before);
    last = first + draw.top_k;
  }
  if (draw.top_p < 1) { last = place_of(first, last, nucleus_weight(weight_of(first, last), draw.top_p)) + 1; }
  if (draw.min_p > 0) {
    last = std::remove_if(first, last, [least = least_weight(draw.min_p)](candidate const& c) { return c.weight < least; });
  }
  return place_of(first, last, drawn_weight(weight_of(first, last), draw.random))->id;
}

inline void check_draws(tensor_view<float const, 2> logits, std::size_t draws) {
  check(static_cast<index_t>(draws) == logits.extent(0), "sample_tokens: there is a draw for each row of logits");
  check(logits.extent(1) > 0 && logits.stride(1) == 1, "sample_tokens: there is something to choose from, in dense rows");
  if (logits.extent(1) > most_candidates) {
    throw error("sample_tokens: expected at most " + std::to_string(most_candidates) + " tokens, found " + std::to_string(logits.extent(1)));
  }
}

}  // namespace detail

/// The token that each row's draw gives, and the row's largest logit, for rows of `logits` (rows, vocabulary); vocabulary at most 2^21. Where the largest is not
/// finite nothing is drawn: the token is where it stands first, as argmax_rows says, and the caller judges.
inline std::vector<row_best> sample_tokens(reference const& b, tensor_view<float const, 2> logits, std::span<token_draw const> draws) {
  detail::check_draws(logits, draws.size());
  auto best = argmax_rows(b, logits);
  parallel_for(threads_for(b, logits.size()), logits.extent(0), [&](index_t r) {
    auto& row = best[static_cast<std::size_t>(r)];
    auto const& draw = draws[static_cast<std::size_t>(r)];
    if (!draw.draws() || !std::isfinite(row.value)) { return; }
    std::vector<detail::candidate> room;
    row.at = detail::drawn_token({&logits(r, 0), static_cast<std::size_t>(logits.extent(1))}, row.value, draw, room);
  });
  return best;
}

}  // namespace loopserve
