// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/text/jinja_value.hpp>
#include <loopserve/model/text/utf8.hpp>

namespace loopserve::detail::jinja {

struct token {
  enum class kind { data, output_begin, output_end, block_begin, block_end, name, integer, string, op, end };
  kind type;
  std::string text;
  std::size_t offset;  ///< in the template
};

/// Cuts a template into tokens, with white space controlled as chat templates expect it: trim_blocks and lstrip_blocks on, as Hugging Face sets them.
class lexer {
 public:
  explicit lexer(std::string_view source) : source_(source) {
    if (!source_.empty() && source_.back() == '\n') { source_.remove_suffix(1); }
  }

  [[gnu::cold]] std::vector<token> run() && {
    while (at_ < source_.size()) { data(); }
    add(token::kind::end, "");
    return std::move(tokens_);
  }

 private:
  static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }
  static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
  static bool digit(char c) { return c >= '0' && c <= '9'; }

  [[gnu::cold]] void add(token::kind type, std::string text) { tokens_.push_back({type, std::move(text), at_}); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  [[noreturn]] void fail(std::string const& what) const { throw unsupported("offset " + std::to_string(at_) + ": " + what); }

  /// Text up to the next tag, then the tag.
  [[gnu::cold]] void data() {
    auto open = at_;
    for (; open < source_.size(); ++open) {
      open = source_.find('{', open);
      if (open >= source_.size()) { break; }
      auto const next = open + 1 < source_.size() ? source_[open + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') { break; }
    }
    open = std::min(open, source_.size());
    auto text = std::string(source_.substr(at_, open - at_));
    if (strip_next_) {
      std::size_t n = 0;
      while (n < text.size() && space(text[n])) { ++n; }
      text.erase(0, n);
    } else if (trim_newline_ && !text.empty() && text[0] == '\n') {
      text.erase(0, 1);
    }
    strip_next_ = trim_newline_ = false;
    if (open == source_.size()) {
      put_data(std::move(text));
      at_ = open;
      return;
    }
    auto const kind = source_[open + 1];
    auto const sign = open + 2 < source_.size() ? source_[open + 2] : '\0';
    if (sign == '-') {
      while (!text.empty() && space(text.back())) { text.pop_back(); }
    } else if (sign != '+' && kind != '{') {
      strip_line(text, open);
    }
    put_data(std::move(text));
    at_ = open + 2 + (sign == '-' || sign == '+' ? 1 : 0);
    if (kind == '#') {
      comment();
    } else {
      tag(kind == '{');
    }
  }

  /// Blanks between the beginning of the tag's line and the tag go.
  [[gnu::cold]] void strip_line(std::string& text, std::size_t open) const {
    auto line = open;
    while (line > 0 && (source_[line - 1] == ' ' || source_[line - 1] == '\t')) { --line; }
    if (line != 0 && source_[line - 1] != '\n') { return; }
    for (auto n = open - line; n > 0 && !text.empty() && (text.back() == ' ' || text.back() == '\t'); --n) { text.pop_back(); }
  }

  [[gnu::cold]] void put_data(std::string text) {
    if (!text.empty()) { add(token::kind::data, std::move(text)); }
  }

  [[gnu::cold]] void close(bool minus, bool block) {
    strip_next_ = minus;
    trim_newline_ = block && !minus;
  }

  [[gnu::cold]] void comment() {
    auto const end = source_.find("#}", at_);
    if (end == std::string_view::npos) { fail("a comment has no end"); }
    bool const minus = end > at_ && source_[end - 1] == '-';
    at_ = end + 2;
    close(minus, true);
  }

  [[gnu::cold]] void tag(bool output) {
    add(output ? token::kind::output_begin : token::kind::block_begin, "");
    char const last = output ? '}' : '%';
    int depth = 0;
    auto const first = tokens_.size();
    for (;;) {
      if (tokens_.size() - first > 2000) { fail("a tag is too long"); }  // bounds the depth of the tree
      while (space(peek())) { ++at_; }
      if (at_ >= source_.size()) { fail("a tag has no end"); }
      bool const minus = peek() == '-' && peek(1) == last && peek(2) == '}';
      bool const plus = !output && peek() == '+' && peek(1) == last && peek(2) == '}';
      if (depth == 0 && (minus || plus || (peek() == last && peek(1) == '}'))) {
        add(output ? token::kind::output_end : token::kind::block_end, "");
        at_ += minus || plus ? 3 : 2;
        close(minus, !output && !plus);
        return;
      }
      one(depth);
    }
  }

  [[gnu::cold]] void one(int& depth) {
    auto const c = peek();
    if (c == '\'' || c == '"') { return literal(c); }
    if (letter(c)) {
      auto const begin = at_;
      while (letter(peek()) || digit(peek())) { ++at_; }
      tokens_.push_back({token::kind::name, std::string(source_.substr(begin, at_ - begin)), begin});
      return;
    }
    if (digit(c)) {
      auto const begin = at_;
      while (digit(peek())) { ++at_; }
      if (peek() == '.' && digit(peek(1))) { fail("numbers with fractions are not supported"); }
      tokens_.push_back({token::kind::integer, std::string(source_.substr(begin, at_ - begin)), begin});
      return;
    }
    static constexpr std::string_view two[] = {"==", "!=", "<=", ">=", "//", "**"};
    for (auto op : two) {
      if (source_.substr(at_, 2) == op) {
        add(token::kind::op, std::string(op));
        at_ += 2;
        return;
      }
    }
    if (std::string_view("+-*/%~<>=.,:|()[]{}").find(c) == std::string_view::npos) { fail(std::string("the character '") + c + "' is not expected in a tag"); }
    depth += c == '(' || c == '[' || c == '{' ? 1 : c == ')' || c == ']' || c == '}' ? -1 : 0;
    add(token::kind::op, std::string(1, c));
    ++at_;
  }

  [[gnu::cold]] void literal(char quote) {
    auto const begin = at_++;
    std::string text;
    for (;; ++at_) {
      if (at_ >= source_.size()) { fail("a string has no end"); }
      auto const c = source_[at_];
      if (c == quote) { break; }
      if (c != '\\') {
        text += c;
        continue;
      }
      ++at_;
      switch (peek()) {
        case 'n': text += '\n'; break;
        case 't': text += '\t'; break;
        case 'r': text += '\r'; break;
        case '\\':
        case '\'':
        case '"': text += peek(); break;
        case 'u': text += unicode(); break;
        case '\n': break;
        default: fail("this escape in a string is not supported");
      }
    }
    ++at_;
    tokens_.push_back({token::kind::string, std::move(text), begin});
  }

  [[gnu::cold]] std::string unicode() {
    char32_t c = 0;
    for (int i = 0; i < 4; ++i) {
      ++at_;
      auto const h = peek();
      if (!digit(h) && !(h >= 'a' && h <= 'f') && !(h >= 'A' && h <= 'F')) { fail("expected four hexadecimal digits"); }
      c = c * 16 + static_cast<char32_t>(digit(h) ? h - '0' : (h | 0x20) - 'a' + 10);
    }
    std::string out;
    append_utf8(out, c >= 0xd800 && c <= 0xdfff ? U'\uFFFD' : c);
    return out;
  }

  std::string_view source_;
  std::size_t at_ = 0;
  std::vector<token> tokens_;
  bool strip_next_ = false;
  bool trim_newline_ = false;
};

}  // namespace loopserve::detail::jinja
