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

/// exp((logit - largest) / temperature) as a multiple of 2^-42, rounded; of what is less than half of that, nothing. A whole number, computed from whole numbers, and
/// never larger for a smaller logit: sums of weights have no order and no rounding, so the host and a device, however many blocks it sums in, draw the same token from
/// the same logits.
LOOPSERVE_HOST_DEVICE inline std::uint64_t token_weight(float logit, float largest, float temperature) {
  // 2^-f for f in [0, 1): the polynomial of degree 10 through Chebyshev's nodes, its coefficients times (-1)^k 2^63; it is off by less than 2^-52.
  constexpr std::uint64_t powers[] = {0x7ffffffffffffa6d, 0x58b90bfbe8e277fb, 0x1ebfbdff81f289e3, 0x071ac235b444ac56, 0x013b2ab6942978b0, 0x002bb0fde99a3038,
                                      0x00050c1ebcae812e, 0x00007fe87de39f4c, 0x00000b092c30f1fe, 0x000000d0b7b4fc8e, 0x0000000abd5e857a};
  float const below = (largest - logit) / temperature;
  if (!(below < 29.8F)) { return 0; }  // NaN, too
  auto const distance = static_cast<std::uint64_t>(below * 0x1p58F);
  // In powers of two, times 2^57. Without the last 11 bits two distances that differ do so by more than the polynomial is off.
  std::uint64_t const halvings = detail::high_product(distance, 0xb8aa3b295c17f0bc) >> 11 << 11;
  std::uint64_t const f = halvings << 7;
  std::uint64_t power = powers[10];
  for (int k = 9; k >= 0; --k) { power = powers[k] - detail::high_product(power, f); }
  int const shift = 21 + static_cast<int>(halvings >> 57);
  return (power + (std::uint64_t{1} << (shift - 1))) >> shift;
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
