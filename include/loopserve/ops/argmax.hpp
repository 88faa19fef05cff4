// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <span>
#include <string>

#include <loopserve/core/backend.hpp>

namespace loopserve {

/// The index of the largest value; the lower index wins a tie. Throws error where there is no value or one of them is NaN.
inline int argmax(reference const&, std::span<float const> values) {
  check(!values.empty(), "argmax: there is nothing to choose from");
  std::size_t best = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) { throw error("argmax: value " + std::to_string(i) + " is not a number"); }
    if (values[i] > values[best]) { best = i; }
  }
  return static_cast<int>(best);
}

}  // namespace loopserve
