// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <loopserve/core/config.hpp>

namespace loopserve::dev {

/// body(0), body(1), .. body(N - 1) written out, so that arrays which they index stay in registers.
template <int N, class Body>
LOOPSERVE_DEVICE void unrolled(Body body) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (body(I), ...); }
  (std::make_integer_sequence<int, N>{});
}

}  // namespace loopserve::dev
