// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/ids.hpp>

namespace loopserve {

/// What became of the steps that a recording has seen.
struct step_counts {
  index_t steps = 0;
  index_t replayed = 0;   ///< queued by graphs alone, from begin to end
  index_t graphs = 0;     ///< made
  index_t launches = 0;   ///< of graphs
  index_t patched = 0;    ///< pieces whose arguments were changed in their graph before a launch
  index_t one_by_one = 0; ///< pieces that were queued singly: while recording, and where a step differs from the recorded one

  step_counts& operator+=(step_counts const& other) {
    steps += other.steps;
    replayed += other.replayed;
    graphs += other.graphs;
    launches += other.launches;
    patched += other.patched;
    one_by_one += other.one_by_one;
    return *this;
  }
};

}  // namespace loopserve
