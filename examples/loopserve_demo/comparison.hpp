// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "side.hpp"

namespace demo {

/// One turn, answered by both sides.
struct compared_turn {
  std::string position;  ///< where the questions stand
  side_turn dense;
  side_turn sparse;
  int facts = 0;
  int dense_right = 0;
  int sparse_right = 0;
};

inline double turn_ms(loopserve::turn_report const& r) { return r.ms.prefill_ms + r.ms.decode_ms; }

/// A line a turn; dense / LoopServe where two numbers stand together.
inline std::string table_of(std::vector<compared_turn> const& turns) {
  std::string table = "turn  questions  tokens  reused   area  covered  kv kept   prefill ms     decode ms   right      same answer\n";
  for (std::size_t i = 0; i < turns.size(); ++i) {
    auto const& t = turns[i];
    auto const& r = t.sparse.report;
    auto const whole = r.total();
    char line[256];
    std::snprintf(line, sizeof line, "%4zu  %-9s %7d %7d  %5.2f  %7.3f  %7.2f  %5.0f /%5.0f  %5.0f /%5.0f  %d/%d | %d/%d  %s\n", i + 1,
                  t.position.c_str(), r.tokens_in, r.reused, whole.area(), whole.covered, r.kv_kept(), t.dense.report.ms.prefill_ms,
                  r.ms.prefill_ms, t.dense.report.ms.decode_ms, r.ms.decode_ms, t.dense_right, t.facts, t.sparse_right, t.facts,
                  t.dense.text == t.sparse.text ? "yes" : "no");
    table += line;
  }
  return table + "(area, covered, kv kept: LoopServe's. Milliseconds and facts right: dense first, then LoopServe.)\n";
}

/// demo: loopserve R/N right, dense R/N right, prefill area X.XX, kv kept X.XX
inline std::string verdict_of(std::vector<compared_turn> const& turns) {
  int facts = 0, dense = 0, sparse = 0;
  double cells = 0, causal = 0, kept = 0, kept_count = 0;
  for (auto const& t : turns) {
    auto const whole = t.sparse.report.total();
    facts += t.facts;
    dense += t.dense_right;
    sparse += t.sparse_right;
    cells += static_cast<double>(whole.cells);
    causal += static_cast<double>(whole.causal_cells);
    kept += t.sparse.report.kept_share_sum;
    kept_count += static_cast<double>(t.sparse.report.kept_share_count);
  }
  char line[160];
  std::snprintf(line, sizeof line, "demo: loopserve %d/%d right, dense %d/%d right, prefill area %.2f, kv kept %.2f", sparse, facts, dense,
                facts, causal > 0 ? cells / causal : 1, kept_count > 0 ? kept / kept_count : 1);
  return line;
}

}  // namespace demo
