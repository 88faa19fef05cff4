// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/config.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// How a token is drawn from a row of logits. The candidates stand in one order: by logit, the largest first, equal ones by id (both zeros are equal). Each filter
/// keeps the first of them, and the draw takes the first at which the sum of weights exceeds `random` / 2^64 of all that are kept.
struct token_draw {
  float temperature = 0;     ///< what distances to the largest logit are divided by; 0 takes the largest
  int top_k = 0;             ///< keep so many; 0 keeps all
  float top_p = 1;           ///< of these keep the fewest whose weights reach this share
  float min_p = 0;           ///< of these keep the ones of at least this share of the largest weight
  std::uint64_t random = 0;  ///< 64 random bits

  /// Otherwise the largest logit is taken.
  LOOPSERVE_HOST_DEVICE constexpr bool draws() const { return temperature != 0 && top_k != 1; }
};

namespace detail {

LOOPSERVE_HOST_DEVICE constexpr std::uint64_t high_product(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
}

LOOPSERVE_HOST_DEVICE constexpr std::uint64_t rounded_up(double x) {
  auto const whole = static_cast<std::uint64_t>(x);
  return whole + (static_cast<double>(whole) < x ? 1 : 0);
}

}  // namespace detail

/// Of the largest logit.
inline constexpr std::uint64_t most_weight = std::uint64_t{1} << 42;
/// Weights of so many tokens are summed in 63 bits.
inline constexpr index_t most_candidates = index_t{1} << 21;

namespace detail {

/// How far a logit is below the largest, in powers of two times 2^24; where it is too far for a weight, or not a number, 43 * 2^24.
LOOPSERVE_HOST_DEVICE constexpr std::uint32_t token_distance(float logit, float largest, float temperature) {
  float const distance = (largest - logit) / temperature * 1.44269504F;
  return static_cast<std::uint32_t>(static_cast<std::int32_t>((distance < 43 ? distance : 43.0F) * 0x1p24F));
}

/// 2^(42 - distance / 2^24), rounded, of at most 43 * 2^24, where it is nothing. It never grows with the distance.
LOOPSERVE_HOST_DEVICE constexpr std::uint64_t distance_weight(std::uint32_t distance) {
  // 2^-f for f in [0, 1): 1 - f q(f) with q of degree 6 through Chebyshev's nodes, the coefficients times (-1)^k 2^31; it is off by less than 2^-33, and 1 at 0.
  std::uint32_t const f = distance << 8;
  auto const next = [f](std::uint32_t coefficient, std::uint32_t sum) { return coefficient - static_cast<std::uint32_t>(static_cast<std::uint64_t>(sum) * f >> 32); };
  std::uint32_t power = next(0x0004e100, 0x00005ed3);
  power = next(0x002b9458, power);
  power = next(0x013b20d4, power);
  power = next(0x071ac093, power);
  power = next(0x1ebfbde5, power);
  power = next(0x58b90bfc, power);
  power = next(0x80000000, power);
  std::uint32_t const halvings = distance >> 24;
  auto const weight = ((static_cast<std::uint64_t>(power) << 11) + (std::uint64_t{1} << halvings >> 1)) >> halvings;
  return halvings < 43 ? weight : 0;
}

}  // namespace detail

/// exp((logit - largest) / temperature) as a multiple of 2^-42, rounded, as exact as its argument in float32; of what is less than half of that, nothing. A whole
/// number, computed by steps that leave a compiler no choice, and never larger for a smaller logit: sums of weights have no order and no rounding, so the host
/// and a device, however many blocks it sums in, draw the same token from the same logits.
LOOPSERVE_HOST_DEVICE constexpr std::uint64_t token_weight(float logit, float largest, float temperature) {
  return detail::distance_weight(detail::token_distance(logit, largest, temperature));
}

/// The weight from which min_p keeps.
LOOPSERVE_HOST_DEVICE constexpr std::uint64_t least_weight(float min_p) {
  return detail::rounded_up(static_cast<double>(min_p) * static_cast<double>(most_weight));
}

/// The sum of weights that top_p < 1 reaches: in [1, total].
LOOPSERVE_HOST_DEVICE constexpr std::uint64_t nucleus_weight(std::uint64_t total, float top_p) {
  return detail::rounded_up(static_cast<double>(total) * static_cast<double>(top_p));
}

/// The sum of weights that the drawn token is the first to reach: uniform in [1, total].
LOOPSERVE_HOST_DEVICE constexpr std::uint64_t drawn_weight(std::uint64_t total, std::uint64_t random) { return detail::high_product(random, total) + 1; }

}  // namespace loopserve
