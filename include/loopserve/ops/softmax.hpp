// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// Every row of x (rows, width) becomes exp(x) / sum(exp(x)), in place. A row of minus infinities alone, where nothing is visible, becomes zeros.
inline void softmax_rows(reference const&, tensor_view<float, 2> x) {
  for (index_t r = 0; r < x.extent(0); ++r) {
    auto top = -std::numeric_limits<float>::infinity();
    for (index_t i = 0; i < x.extent(1); ++i) { top = std::max(top, x(r, i)); }
    bool const hidden = top == -std::numeric_limits<float>::infinity();
    double sum = 0;
    for (index_t i = 0; i < x.extent(1); ++i) { sum += hidden && !std::isnan(x(r, i)) ? 1 : std::exp(static_cast<double>(x(r, i)) - top); }
    for (index_t i = 0; i < x.extent(1); ++i) {
      x(r, i) = hidden && !std::isnan(x(r, i)) ? 0 : static_cast<float>(std::exp(static_cast<double>(x(r, i)) - top) / sum);
    }
  }
}

}  // namespace loopserve
