// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chat {

/// The text of a line being typed, the cursor in it, and the lines typed before it. UTF-8; the cursor stands between code points. Knows no terminal.
class edited_line {
 public:
  std::string const& text() const { return text_; }
  std::size_t cursor() const { return cursor_; }

  void insert(std::string_view what) {
    text_.insert(cursor_, what);
    cursor_ += what.size();
  }
  void left() { cursor_ = before(cursor_); }
  void right() { cursor_ = after(cursor_); }
  void home() { cursor_ = 0; }
  void end() { cursor_ = text_.size(); }
  void erase_before() { erase(before(cursor_), cursor_); }
  void erase_after() { erase(cursor_, after(cursor_)); }
  void erase_to_start() { erase(0, cursor_); }
  void erase_to_end() { erase(cursor_, text_.size()); }
  void erase_word_before() {
    auto from = cursor_;
    while (from > 0 && text_[from - 1] == ' ') { --from; }
    while (from > 0 && text_[from - 1] != ' ') { --from; }
    erase(from, cursor_);
  }

  /// The line typed before this one; what is being typed is kept for `newer`.
  void older() {
    if (shown_ > 0) { show(shown_ - 1); }
  }
  void newer() {
    if (shown_ < history_.size()) { show(shown_ + 1); }
  }

  /// Ends the line: it goes to the history (unless empty or the same as the last) and is given back; the next one begins empty.
  std::string take() {
    auto line = std::move(text_);
    if (!line.empty() && (history_.empty() || history_.back() != line)) { history_.push_back(line); }
    clear();
    return line;
  }
  void clear() {
    text_.clear();
    draft_.clear();
    cursor_ = 0;
    shown_ = history_.size();
  }

 private:
  static bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

  std::size_t before(std::size_t at) const {
    if (at > 0) { --at; }
    while (at > 0 && continues(text_[at])) { --at; }
    return at;
  }
  std::size_t after(std::size_t at) const {
    if (at < text_.size()) { ++at; }
    while (at < text_.size() && continues(text_[at])) { ++at; }
    return at;
  }
  void erase(std::size_t from, std::size_t to) {
    text_.erase(from, to - from);
    cursor_ = from;
  }
  void show(std::size_t which) {
    if (shown_ == history_.size()) { draft_ = text_; }
    shown_ = which;
    text_ = which == history_.size() ? draft_ : history_[which];
    cursor_ = text_.size();
  }

  std::string text_, draft_;
  std::size_t cursor_ = 0;
  std::vector<std::string> history_;
  std::size_t shown_ = 0;  ///< history_.size(): the line being typed
};

}  // namespace chat
