// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include <loopserve/serve/turn_report.hpp>

#include "../shared/bytes_text.hpp"

namespace chat {

/// A table of turns, a line each, turns counted from 1 as a user counts them.
inline std::string stats_table(std::vector<loopserve::turn_report> const& turns) {
  if (turns.empty()) { return "nothing has been said yet\n"; }
  std::string table = "turn  input  reused  again  answer   area  covered  kv kept  prefill ms  decode ms  tok/s       bytes  end\n";
  for (std::size_t i = 0; i < turns.size(); ++i) {
    auto const& r = turns[i];
    auto const whole = r.total();
    char line[256];
    std::snprintf(line, sizeof line, "%4zu %6d %7d %6d %7d  %5.2f  %7.3f  %7.2f  %10.0f %10.0f %6.0f %11s  %s\n", i + 1, r.tokens_in,
                  r.reused, r.recomputed, r.tokens_out, whole.area(), whole.covered, r.kv_kept(), r.ms.prefill_ms, r.ms.decode_ms,
                  r.ms.decode_ms > 0 ? 1000.0 * (r.tokens_out - 1) / r.ms.decode_ms : 0.0,
                  programs::bytes_text(static_cast<double>(r.kv_bytes + r.working_set_bytes)).c_str(), loopserve::name_of(r.finish));
    table += line;
    if (!r.recomputed_why.empty()) { table += "      computed again: " + r.recomputed_why + "\n"; }
    if (r.dropped_turns > 0) { table += "      turns dropped because the context was full: " + std::to_string(r.dropped_turns) + "\n"; }
  }
  return table;
}

}  // namespace chat
