// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <string>

#include <nlohmann/json.hpp>

#include "partner.hpp"

namespace chat {

/// Where a turn stands in a script, both counted from 0, and the facts asked for and found.
struct turn_place {
  int conversation = 0;
  int turn = 0;
  int facts = 0;
  int right = 0;
};

/// One turn as one line of JSON. `bytes` are the conversation's keys and values and the rows gathered for the answer. A mass that the selector does not know is null.
inline std::string json_line(turn_place const& place, turn_result const& result) {
  auto const& r = result.report;
  auto const whole = r.total();
  auto const number = [](double x) { return std::isfinite(x) ? nlohmann::ordered_json(x) : nlohmann::ordered_json(nullptr); };
  nlohmann::ordered_json line{
      {"conversation", place.conversation},
      {"turn", place.turn},
      {"text", result.text},
      {"ids", result.ids},
      {"tokens_in", r.tokens_in},
      {"reused", r.reused},
      {"recomputed", r.recomputed},
      {"area", whole.area()},
      {"covered", number(whole.covered)},
      {"kv_kept", r.kv_kept()},
      {"facts", place.facts},
      {"right", place.right},
      {"bytes", r.kv_bytes + r.working_set_bytes},
      {"ms",
       {{"prefill", r.ms.prefill_ms},
        {"selection", r.ms.selection_ms},
        {"attention", r.ms.attention_ms},
        {"decode", r.ms.decode_ms},
        {"decode_attention", r.ms.decode_attention_ms},
        {"reselection", r.ms.reselection_ms},
        {"recall", r.ms.recall_ms},
        {"gather", r.ms.gather_ms}}},
  };
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace chat
