// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <vector>

#include <nlohmann/json.hpp>

#include "experiment.hpp"

namespace bench {

inline void print_table(std::vector<comparison> const& rows) {
  std::printf("%-8s %7s %8s | %10s %10s %8s | %6s %6s | %10s %10s %10s %8s\n", "", "tokens", "context", "dense ms", "loops. ms", "speedup", "area", "kept",
              "select ms", "attend ms", "dense att.", "gather");
  for (auto const& r : rows) {
    std::printf("%-8s %7d %8d | %10.2f %10.2f %7.2fx | %6.3f %6.3f | %10.3f %10.3f %10.3f %8.3f\n", r.name.c_str(), r.tokens, r.context, r.dense.total_ms,
                r.loopserve.total_ms, r.speedup(), r.area, r.kv_kept, r.loopserve.selection_ms, r.loopserve.attention_ms, r.dense.attention_ms,
                r.loopserve.gather_ms);
  }
}

inline nlohmann::json to_json(comparison const& r) {
  return {{"tokens", r.tokens},
          {"context", r.context},
          {"dense_ms", r.dense.total_ms},
          {"loopserve_ms", r.loopserve.total_ms},
          {"speedup", r.speedup()},
          {"area", r.area},
          {"kv_kept", r.kv_kept},
          {"selection_ms", r.loopserve.selection_ms},
          {"attention_ms", r.loopserve.attention_ms},
          {"dense_attention_ms", r.dense.attention_ms},
          {"gather_ms", r.loopserve.gather_ms}};
}

}  // namespace bench
