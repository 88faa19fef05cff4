// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <loopserve/core/error.hpp>

#include "budget_text.hpp"

namespace programs {

/// Which selector and KV policy, and their numbers; what is empty is left to the mode or to the component.
struct part_settings {
  std::string mode = "loopserve";
  std::string selector = {};    ///< decides instead of the mode
  std::string compressor = {};  ///< decides instead of the mode
  std::optional<double> alpha = {};
  std::string budget = {};
  std::optional<int> interval = {};
  std::optional<int> recall_bits = {};
  std::optional<double> core_share = {};
  bool no_fallback = false;
};

/// Writes them to the options of an engine whose parts are chosen by name (see by_name). `dense` skips nothing, `loopserve` has both phases, the other two
/// modes have one.
template <class Options>
void apply(part_settings const& p, Options& o) {
  bool const both = p.mode == "loopserve";
  bool const prefill = both || p.mode == "prefill-only";
  bool const decode = both || p.mode == "decode-only";
  if (!prefill && !decode && p.mode != "dense") {
    throw loopserve::error("there is no mode '" + p.mode + "'; there are: dense, loopserve, prefill-only, decode-only");
  }
  o.selector.name = !p.selector.empty() ? p.selector : prefill ? "online_vertical_slash" : "dense";
  o.compressor.name = !p.compressor.empty() ? p.compressor : decode ? "with_recall:progressive" : "keep_all";

  auto& lines = o.selector.online_vertical_slash;
  lines.alpha = p.alpha.value_or(lines.alpha);
  lines.fall_back = lines.fall_back && !p.no_fallback;
  auto& c = o.compressor;
  if (!p.budget.empty()) { c.budget = budget_of(p.budget); }
  c.interval = p.interval.value_or(c.interval);
  c.bits = p.recall_bits.value_or(c.bits);
  c.core_share = p.core_share.value_or(c.core_share);
}

}  // namespace programs
