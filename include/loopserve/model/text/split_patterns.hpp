// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <loopserve/model/text/pre_tokenizer.hpp>

namespace loopserve::detail {

/// The patterns by which known families cut words, for the files that name a family instead of holding a pattern.
/// @{
inline constexpr char const* gpt2_pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr char const* qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr char const* llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// @}

inline pre_tokenizer::step split_by(std::string const& pattern, std::string const& where, split_behavior behavior = split_behavior::isolated,
                                    bool invert = false) {
  return {pre_tokenizer::split_step{regex(pattern, where), behavior, invert}, {}};
}

/// A pre-tokenizer that cuts by these patterns, one after the other.
inline pre_tokenizer split_by_each(std::vector<std::string> const& patterns, std::string const& where) {
  std::vector<pre_tokenizer::step> steps;
  for (auto const& p : patterns) { steps.push_back(split_by(p, where)); }
  return pre_tokenizer(std::move(steps));
}

}  // namespace loopserve::detail
