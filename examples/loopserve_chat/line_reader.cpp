// SPDX-License-Identifier: Apache-2.0
#include "line_reader.hpp"

#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <vector>

namespace chat {
namespace {

/// The next byte, -1 at the input's end.
int next_byte() {
  unsigned char c = 0;
  return ::read(STDIN_FILENO, &c, 1) == 1 ? c : -1;
}

int terminal_columns() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

struct cell {
  std::string text;
  int columns;
};

/// What a terminal shows of a text: control characters by marks of their own.
std::vector<cell> cells_of(std::string_view text) {
  std::vector<cell> cells;
  auto const* at = reinterpret_cast<utf8proc_uint8_t const*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t code = 0;
    auto const taken = std::max<utf8proc_ssize_t>(1, utf8proc_iterate(at, left, &code));
    if (code == '\n') {
      cells.push_back({"\xE2\x8F\x8E", 1});
    } else if (code < 0x20 || code == 0x7f) {
      cells.push_back({"?", 1});
    } else {
      cells.push_back({std::string(reinterpret_cast<char const*>(at), static_cast<std::size_t>(taken)), utf8proc_charwidth(code)});
    }
    at += taken;
    left -= taken;
  }
  return cells;
}

}  // namespace

line_reader::line_reader() {
  if (isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1) { terminal_.emplace(); }
}

line_end line_reader::read(std::string const& prompt, std::string& line) {
  if (terminal_) { return edit(prompt, line); }
  return std::getline(std::cin, line) ? line_end::entered : line_end::closed;
}

line_end line_reader::edit(std::string const& prompt, std::string& line) {
  terminal::editing const editing(*terminal_);
  line_.clear();
  for (;;) {
    draw(prompt);
    int const c = next_byte();
    switch (c) {
      case -1: terminal::put("\n"); return line_end::closed;
      case '\r':
      case '\n':
        line_.end();
        draw(prompt);
        terminal::put("\n");
        line = line_.take();
        return line_end::entered;
      case 3: terminal::put("^C\n"); return line_end::interrupted;
      case 4:
        if (line_.text().empty()) {
          terminal::put("\n");
          return line_end::closed;
        }
        line_.erase_after();
        break;
      case 1: line_.home(); break;
      case 2: line_.left(); break;
      case 5: line_.end(); break;
      case 6: line_.right(); break;
      case 8:
      case 127: line_.erase_before(); break;
      case 11: line_.erase_to_end(); break;
      case 14: line_.newer(); break;
      case 16: line_.older(); break;
      case 21: line_.erase_to_start(); break;
      case 23: line_.erase_word_before(); break;
      case 27: escape_sequence(); break;
      default:
        if (c >= 0x20 || c == '\t') {
          std::string character(1, static_cast<char>(c));
          for (int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0; more > 0; --more) { character += static_cast<char>(next_byte()); }
          line_.insert(character);
        }
    }
  }
}

/// ESC [ number... final, or ESC O final.
void line_reader::escape_sequence() {
  int c = next_byte();
  if (c != '[' && c != 'O') { return; }
  std::string number;
  for (c = next_byte(); (c >= '0' && c <= '9') || c == ';'; c = next_byte()) { number += static_cast<char>(c); }
  switch (c) {
    case 'A': line_.older(); break;
    case 'B': line_.newer(); break;
    case 'C': line_.right(); break;
    case 'D': line_.left(); break;
    case 'H': line_.home(); break;
    case 'F': line_.end(); break;
    case '~':
      if (number == "1" || number == "7") { line_.home(); }
      if (number == "4" || number == "8") { line_.end(); }
      if (number == "3") { line_.erase_after(); }
      if (number == "200") { pasted_text(); }
      break;
    default: break;
  }
}

/// Up to the mark that ends a paste. Line breaks stay part of the text.
void line_reader::pasted_text() {
  std::string const mark = "\x1b[201~";
  std::string text;
  for (int c = next_byte(); c != -1; c = next_byte()) {
    text += c == '\r' ? '\n' : static_cast<char>(c);
    if (text.size() >= mark.size() && text.compare(text.size() - mark.size(), mark.size(), mark) == 0) {
      text.resize(text.size() - mark.size());
      break;
    }
  }
  line_.insert(text);
}

/// One row of the terminal: where the line is longer, the part before the cursor that fits.
void line_reader::draw(std::string const& prompt) const {
  int const room = std::max(8, terminal_columns() - static_cast<int>(prompt.size()) - 1);
  auto const head = cells_of(std::string_view(line_.text()).substr(0, line_.cursor()));
  auto const tail = cells_of(std::string_view(line_.text()).substr(line_.cursor()));
  int used = 0;
  auto first = head.size();
  while (first > 0 && used + head[first - 1].columns <= room) { used += head[--first].columns; }
  std::string shown = "\r" + prompt;
  for (auto i = first; i < head.size(); ++i) { shown += head[i].text; }
  int after = 0;
  for (auto const& c : tail) {
    if (used + after + c.columns > room) { break; }
    shown += c.text;
    after += c.columns;
  }
  shown += "\x1b[K";
  if (after > 0) { shown += "\x1b[" + std::to_string(after) + "D"; }
  terminal::put(shown);
}

}  // namespace chat
