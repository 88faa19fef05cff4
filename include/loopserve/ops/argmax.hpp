// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>

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

/// The largest value of a row, and where it stands first; not a number where the row has one that is not.
struct row_best {
  int at = 0;
  float value = 0;
};

/// The best of each row of `values` (rows, cols), cols > 0.
inline std::vector<row_best> argmax_rows(reference const&, tensor_view<float const, 2> values) {
  check(values.extent(1) > 0, "argmax: there is nothing to choose from");
  std::vector<row_best> best;
  for (index_t r = 0; r < values.extent(0); ++r) {
    row_best row{0, values(r, 0)};
    for (index_t i = 1; i < values.extent(1); ++i) {
      float const value = values(r, i);
      if (!std::isnan(row.value) && (std::isnan(value) || value > row.value)) { row = {static_cast<int>(i), value}; }
    }
    best.push_back(row);
  }
  return best;
}

}  // namespace loopserve
