// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <loopserve/serve/turn_report.hpp>

namespace chat {

/// What a turn lost to the context limit, a sentence each; none where it lost nothing.
inline std::vector<std::string> remarks(loopserve::turn_report const& r) {
  std::vector<std::string> said;
  if (r.dropped_turns > 0) {
    said.push_back("the context was full: the " + (r.dropped_turns == 1 ? std::string("oldest turn was") : std::to_string(r.dropped_turns) + " oldest turns were") + " left out");
  }
  if (r.finish == loopserve::finish_reason::context_full) { said.push_back("the answer ends at the context limit, after " + std::to_string(r.tokens_out) + " tokens"); }
  return said;
}

}  // namespace chat
