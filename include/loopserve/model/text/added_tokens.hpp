// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/text/tokenizer_parts.hpp>
#include <loopserve/model/text/utf8.hpp>

namespace loopserve::detail {

/// Finds added tokens in a text: the leftmost, and of those that begin there the longest.
class added_token_finder {
 public:
  added_token_finder() { nodes_.emplace_back(); }
  explicit added_token_finder(std::vector<added_token> tokens) : added_token_finder() {
    tokens_ = std::move(tokens);
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      auto const& content = tokens_[i].content;
      if (content.empty()) { continue; }
      begins_[static_cast<unsigned char>(content[0])] = true;
      std::size_t at = 0;
      for (auto c : content) { at = child_or_new(at, c); }
      nodes_[at].token = static_cast<int>(i);
    }
  }

  bool empty() const { return tokens_.empty(); }

  /// Calls `rest(begin, end)` for stretches without added tokens, which may not be empty, and `found(token)` for added tokens, left to right.
  /// `allowed(begin, end, token)` says whether a token may be found there.
  template <class Allowed, class Rest, class Found>
  void scan(std::string_view text, Allowed&& allowed, Rest&& rest, Found&& found) const {
    std::size_t done = 0;
    for (std::size_t i = 0; i < text.size();) {
      if (!begins_[static_cast<unsigned char>(text[i])]) {
        ++i;
        continue;
      }
      auto const* token = longest_at(text, i, allowed);
      if (token == nullptr) {
        ++i;
        continue;
      }
      auto begin = i;
      auto end = i + token->content.size();
      if (token->lstrip) { begin = strip_left(text, done, begin); }
      if (token->rstrip) { end = strip_right(text, end); }
      if (begin > done) { rest(done, begin); }
      found(*token);
      i = done = end;
    }
    if (done < text.size()) { rest(done, text.size()); }
  }

 private:
  struct node {
    std::vector<std::pair<char, std::uint32_t>> children;
    int token = -1;
  };

  std::size_t child_or_new(std::size_t at, char c) {
    for (auto const& [letter, next] : nodes_[at].children) {
      if (letter == c) { return next; }
    }
    nodes_[at].children.emplace_back(c, static_cast<std::uint32_t>(nodes_.size()));
    nodes_.emplace_back();
    return nodes_.size() - 1;
  }

  template <class Allowed>
  added_token const* longest_at(std::string_view text, std::size_t begin, Allowed&& allowed) const {
    added_token const* best = nullptr;
    std::size_t at = 0;
    for (auto i = begin; i < text.size(); ++i) {
      auto const& children = nodes_[at].children;
      auto const next = std::find_if(children.begin(), children.end(), [&](auto const& child) { return child.first == text[i]; });
      if (next == children.end()) { break; }
      at = next->second;
      if (nodes_[at].token < 0) { continue; }
      auto const& token = tokens_[static_cast<std::size_t>(nodes_[at].token)];
      if (token.single_word && !alone(text, begin, i + 1)) { continue; }
      if (allowed(begin, i + 1, token)) { best = &token; }
    }
    return best;
  }

  static std::size_t character_before(std::string_view text, std::size_t at) {
    do { --at; } while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
    return at;
  }

  static bool is_word_character(std::string_view text, std::size_t at) {
    auto const c = static_cast<unsigned char>(text[at]);
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c >= 0x80 && step_utf8(text, at).valid && !is_white_space(code_point(text, at)));
  }

  static bool alone(std::string_view text, std::size_t begin, std::size_t end) {
    return (begin == 0 || !is_word_character(text, character_before(text, begin))) && (end == text.size() || !is_word_character(text, end));
  }

  static bool space_at(std::string_view text, std::size_t at) { return step_utf8(text, at).valid && is_white_space(code_point(text, at)); }

  static std::size_t strip_left(std::string_view text, std::size_t floor, std::size_t begin) {
    while (begin > floor) {
      auto const before = character_before(text, begin);
      if (before < floor || !space_at(text, before)) { break; }
      begin = before;
    }
    return begin;
  }

  static std::size_t strip_right(std::string_view text, std::size_t end) {
    while (end < text.size() && space_at(text, end)) { end += static_cast<std::size_t>(step_utf8(text, end).length); }
    return end;
  }

  std::vector<added_token> tokens_;
  std::vector<node> nodes_;
  std::array<bool, 256> begins_{};
};

}  // namespace loopserve::detail
