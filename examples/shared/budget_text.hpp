// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <string>

#include <loopserve/core/error.hpp>
#include <loopserve/kv/kv_budget.hpp>

namespace programs {

/// "512" is that many tokens, "10%" a share of the context at the turn's start. Throws error for anything else.
inline loopserve::kv_budget budget_of(std::string const& text) {
  auto const refuse = [&]() -> loopserve::kv_budget {
    throw loopserve::error("--budget takes a positive number of tokens or a percentage above 0 and up to 100 such as 10%, not '" + text + "'");
  };
  char const* const end = text.data() + text.size();
  if (!text.empty() && text.back() == '%') {
    double percent = 0;
    auto const [stop, failure] = std::from_chars(text.data(), end - 1, percent, std::chars_format::fixed);
    if (failure != std::errc() || stop != end - 1 || !(percent > 0 && percent <= 100)) { return refuse(); }
    return loopserve::kv_budget::of_context(percent / 100);
  }
  int tokens = 0;
  auto const [stop, failure] = std::from_chars(text.data(), end, tokens);
  if (failure != std::errc() || stop != end || tokens <= 0) { return refuse(); }
  return tokens;
}

}  // namespace programs
