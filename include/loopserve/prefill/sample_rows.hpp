// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include <loopserve/core/ids.hpp>
#include <loopserve/core/rng.hpp>

namespace loopserve {

/// min(rows, count) of `rows` row indices, ascending: the last `last` of them, and one from each of equal strata of the rest.
inline std::vector<int> sample_rows(int rows, int count, int last, counter_rng const& random) {
  std::vector<int> out;
  last = std::min({last, count, rows});
  int const span = rows - last, strata = std::min(count - last, span);
  for (int i = 0; i < strata; ++i) {
    auto const from = index_t{i} * span / strata, to = (index_t{i} + 1) * span / strata;
    out.push_back(static_cast<int>(from + static_cast<index_t>(random.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(to - from)))));
  }
  for (int i = span; i < rows; ++i) { out.push_back(i); }
  return out;
}

}  // namespace loopserve
