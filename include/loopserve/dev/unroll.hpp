// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <loopserve/core/config.hpp>

namespace loopserve::dev {

/// The number I, known when it is compiled, even as a parameter.
template <int I>
struct constant {
  LOOPSERVE_HOST_DEVICE constexpr operator int() const { return I; }
};

/// body(0), body(1), .. body(N - 1) written out, so that arrays which they index stay in registers. A body whose parameter is `auto` gets a `constant`, which may
/// be a template's argument.
template <int N, class Body>
LOOPSERVE_DEVICE void unrolled(Body body) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (body(constant<I>{}), ...); }
  (std::make_integer_sequence<int, N>{});
}

}  // namespace loopserve::dev
