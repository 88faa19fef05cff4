// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include <loopserve/core/config.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/core/rng.hpp>

namespace loopserve {

/// Row i of the min(rows, count) that sample_rows takes.
LOOPSERVE_HOST_DEVICE constexpr int sampled_row(int i, int rows, int count, int last, counter_rng const& random) {
  count = count < rows ? count : rows;
  last = last < count ? last : count;
  int const span = rows - last, strata = count - last;
  if (i >= strata) { return span + i - strata; }
  index_t const from = index_t{i} * span / strata, to = (index_t{i} + 1) * span / strata;
  return static_cast<int>(from + static_cast<index_t>(random.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(to - from))));
}

/// min(rows, count) of `rows` row indices, ascending: the last `last` of them, and one from each of equal strata of the rest.
inline std::vector<int> sample_rows(int rows, int count, int last, counter_rng const& random) {
  std::vector<int> out;
  for (int i = 0; i < std::min(rows, count); ++i) { out.push_back(sampled_row(i, rows, count, last, random)); }
  return out;
}

}  // namespace loopserve
