// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/backend.hpp>
#include <loopserve/prefill/line_plan.hpp>

namespace loopserve {

/// What a head's plans came to, over the chunks of a turn.
struct line_tally {
  index_t cells = 0;   ///< of the union of lines
  double covered = 0;  ///< attention mass kept, weighed by each chunk's share of the turn
};

/// Adds a plan to `to` (heads), which lies in the backend's memory like the plan; the plan's chunk is `share` of the turn's new rows.
inline void tally_lines(reference const&, line_plan_view plan, double share, line_tally* to) {
  for (int h = 0; h < plan.heads; ++h) {
    to[h].cells += union_cells(plan, h);
    to[h].covered += share * static_cast<double>(plan.covered[h]);
  }
}

}  // namespace loopserve
