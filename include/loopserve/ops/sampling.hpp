// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/ops/argmax.hpp>
#include <loopserve/ops/lanes.hpp>
#include <loopserve/ops/sampling_weight.hpp>
#include <loopserve/ops/top_k.hpp>

namespace loopserve {

namespace detail {

struct candidate {
  std::uint32_t key;  ///< ordered_bits of the logit
  std::int32_t id;
  std::uint64_t weight;
};

inline bool stands_before(candidate const& a, candidate const& b) { return a.key > b.key || (a.key == b.key && a.id < b.id); }

/// The first candidate at which the sum of weights reaches `weight`, which all of them together do.
inline candidate place_of(std::vector<candidate>& all, std::uint64_t weight) {
  auto first = all.begin(), last = all.end();
  while (last - first > 1) {
    auto const middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, stands_before);
    std::uint64_t before = 0;
    for (auto c = first; c != middle; ++c) { before += c->weight; }
    if (before >= weight) {
      last = middle;
    } else {
      weight -= before;
      first = middle;
    }
  }
  return *first;
}

/// What is left of a row's tokens, in the order of their ids, and their weights where they are needed.
struct row_candidates {
  std::vector<float> logits;
  std::vector<std::int32_t> ids;
  std::vector<std::uint64_t> weights;

  explicit row_candidates(std::span<float const> row) : logits(row.begin(), row.end()), ids(row.size()) { std::iota(ids.begin(), ids.end(), 0); }

  /// In two steps whose loops are without branches, so that several are computed at once.
  void weigh(float largest, float temperature) {
    constexpr std::size_t stretch = 512;
    std::uint32_t distances[stretch];
    weights.resize(logits.size());
    for (std::size_t from = 0; from < logits.size(); from += stretch) {
      auto const count = std::min(stretch, logits.size() - from);
      for (std::size_t i = 0; i < count; ++i) { distances[i] = token_distance(logits[from + i], largest, temperature); }
      for (std::size_t i = 0; i < count; ++i) { weights[from + i] = distance_weight(distances[i]); }
    }
  }

  std::uint64_t weight(std::size_t i) const { return weights.empty() ? 1 : weights[i]; }

  /// The candidate at which the sum of weights reaches sought(sum of all). One pass sums by leading bits of the keys, one collects the bin where it is reached.
  template <class Sought>
  candidate reached(Sought sought) const {
    constexpr int shift = 18, bins = 1 << (32 - shift);
    std::vector<std::uint64_t> sums(bins, 0);
    for (std::size_t i = 0; i < logits.size(); ++i) { sums[ordered_bits(logits[i]) >> shift] += weight(i); }
    auto left = sought(std::accumulate(sums.begin(), sums.end(), std::uint64_t{0}));
    std::uint32_t bin = bins - 1;
    while (sums[bin] < left) { left -= sums[bin--]; }
    std::vector<candidate> inside;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      auto const key = ordered_bits(logits[i]);
      if (key >> shift == bin) { inside.push_back({key, ids[i], weight(i)}); }
    }
    return place_of(inside, left);
  }

  /// Forgets what stands behind `last`.
  void keep_to(candidate const& last) {
    std::size_t found = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      auto const key = ordered_bits(logits[i]);
      bool const kept = (key > last.key) | ((key == last.key) & (ids[i] <= last.id));
      logits[found] = logits[i];
      ids[found] = ids[i];
      if (!weights.empty()) { weights[found] = weights[i]; }
      found += kept ? 1 : 0;
    }
    logits.resize(found);
    ids.resize(found);
    weights.resize(weights.empty() ? 0 : found);
  }
};

/// The token that `draw` gives, draw.draws(), where the largest of the logits is finite.
inline int drawn_token(std::span<float const> logits, float largest, token_draw const& draw) {
  row_candidates left(logits);
  if (draw.top_k > 0 && static_cast<std::size_t>(draw.top_k) < logits.size()) {
    left.keep_to(left.reached([&](std::uint64_t) { return static_cast<std::uint64_t>(draw.top_k); }));
  }
  left.weigh(largest, draw.temperature);
  if (draw.top_p < 1) { left.keep_to(left.reached([&](std::uint64_t total) { return nucleus_weight(total, draw.top_p); })); }
  auto const least = least_weight(draw.min_p);
  for (auto& weight : left.weights) { weight = weight < least ? 0 : weight; }
  return left.reached([&](std::uint64_t total) { return drawn_weight(total, draw.random); }).id;
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
    row.at = detail::drawn_token({&logits(r, 0), static_cast<std::size_t>(logits.extent(1))}, row.value, draw);
  });
  return best;
}

}  // namespace loopserve
