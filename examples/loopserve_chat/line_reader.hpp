// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "edited_line.hpp"
#include "terminal.hpp"

namespace chat {

enum class line_end { entered, interrupted, closed };

/// Reads lines from a terminal with editing and history (arrows, Home, End, Ctrl-A/E/U/K/W; a pasted text is one line, its line breaks included), or plainly
/// from whatever else standard input is.
class line_reader {
 public:
  line_reader();

  /// `line` is set where a line was entered. Interrupted: Ctrl-C. Closed: Ctrl-D on an empty line, or the input's end.
  line_end read(std::string const& prompt, std::string& line);

 private:
  line_end edit(std::string const& prompt, std::string& line);
  void escape_sequence();
  void pasted_text();
  void draw(std::string const& prompt) const;

  std::optional<terminal> terminal_;
  edited_line line_;
};

}  // namespace chat
