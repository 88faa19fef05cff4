// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace loopserve::simt {

enum class order { forward, backward, shuffled };

/// One of the ways in which a device may run the same launch.
struct schedule {
  order blocks = order::forward;
  order warps = order::forward;  ///< a warp runs until all its lanes wait; shuffled: for a stretch at a time, in changing order
  order lanes = order::forward;
  bool eager_copies =
      false;  ///< asynchronous copies land when they are issued (the earliest legal moment), otherwise when they are waited for (the latest)
  int resident_blocks = 1;  ///< more than one: blocks take turns at atomics
  std::uint64_t seed = 1;   ///< of what is shuffled
};

inline std::string name_of(schedule const& s) {
  auto const word = [](order o) { return o == order::forward ? "forward" : o == order::backward ? "backward" : "shuffled"; };
  return std::string("blocks ") + word(s.blocks) + ", warps " + word(s.warps) + ", lanes " + word(s.lanes) +
         (s.eager_copies ? ", eager" : ", lazy") + " copies, " + std::to_string(s.resident_blocks) + " resident, seed " +
         std::to_string(s.seed);
}

/// What every test of a kernel runs under.
inline std::vector<schedule> schedules() {
  using enum order;
  return {{forward, forward, forward, false, 1, 1},
          {backward, backward, backward, true, 1, 1},
          {forward, backward, forward, true, 2, 2},
          {shuffled, shuffled, backward, false, 3, 3},
          {shuffled, shuffled, forward, true, 3, 4}};
}

}  // namespace loopserve::simt
