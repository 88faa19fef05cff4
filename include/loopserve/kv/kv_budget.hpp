// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <string>

#include <loopserve/core/error.hpp>

namespace loopserve {

/// How many context tokens a KV head may attend to: a number, or a share of the context at the turn's start (rounded down), fixed for the turn.
struct kv_budget {
  int tokens = 1024;
  double share = 0;    ///< where > 0 it decides instead of `tokens`
  double portion = 1;  ///< of either, rounded down: what a wrapper leaves to the policy inside

  constexpr kv_budget() = default;
  constexpr kv_budget(int count) : tokens(count) {}  // NOLINT(google-explicit-constructor): `.budget = 512` is how it is written
  /// Throws error where the share is not above 0 and at most 1.
  static constexpr kv_budget of_context(double share) {
    if (!(share > 0 && share <= 1)) { throw error("kv_budget::of_context: expected a share above 0 and at most 1, found " + std::to_string(share)); }
    kv_budget b;
    b.share = share;
    return b;
  }
  constexpr kv_budget scaled(double by) const {
    auto part = *this;
    part.portion *= by;
    return part;
  }

  int at(int context) const {
    // 1e-9: 10% of 3,000 is 300, whatever 0.1 is in binary.
    auto const whole = share > 0 ? static_cast<int>(std::floor(share * context + 1e-9)) : tokens;
    return portion == 1 ? whole : static_cast<int>(std::floor(portion * whole + 1e-9));
  }
};

/// Throws error, which names the policy, where its `budget` leaves no token to attend to, or is no share of the context. Every policy with a budget asks this first.
inline void check_budget(kv_budget const& budget, char const* policy) {
  if (budget.share != 0) {
    if (!(budget.share > 0 && budget.share <= 1)) {
      throw error(std::string(policy) + ": budget.share: expected a share above 0 and at most 1, found " + std::to_string(budget.share));
    }
  } else if (budget.tokens < 1) {
    throw error(std::string(policy) + ": budget: expected at least 1 token, found " + std::to_string(budget.tokens));
  }
}

}  // namespace loopserve
