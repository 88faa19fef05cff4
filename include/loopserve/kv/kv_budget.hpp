// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

namespace loopserve {

/// How many context tokens a KV head may attend to: a number, or a share of the context at the turn's start (rounded down), fixed for the turn.
struct kv_budget {
  int tokens = 1024;
  double share = 0;    ///< where > 0 it decides instead of `tokens`
  double portion = 1;  ///< of either, rounded down: what a wrapper leaves to the policy inside

  constexpr kv_budget() = default;
  constexpr kv_budget(int count) : tokens(count) {}  // NOLINT(google-explicit-constructor): `.budget = 512` is how it is written
  static constexpr kv_budget of_context(double share) {
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

}  // namespace loopserve
