// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace chat {

/// Standard input byte by byte and unechoed for as long as this lives, put back at the end. Never by lines: a line discipline that comes and goes would swallow
/// what is typed while an answer runs (a Ctrl-D would be lost).
class terminal {
 public:
  terminal() {
    tcgetattr(STDIN_FILENO, &before_);
    found_ = true;
    answering_ = before_;
    answering_.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | IEXTEN);
    answering_.c_iflag &= ~static_cast<tcflag_t>(IXON | ICRNL);
    answering_.c_cc[VMIN] = 1;
    answering_.c_cc[VTIME] = 0;
    set(answering_);
  }
  terminal(terminal const&) = delete;
  terminal& operator=(terminal const&) = delete;
  ~terminal() { put_back(); }

  /// For a signal's handler too, which leaves no time for destructors.
  static void put_back() {
    if (found_) { set(before_); }
  }

  static void put(std::string const& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  /// While a line is edited: Ctrl-C is a byte, and pastes are marked.
  class editing {
   public:
    explicit editing(terminal const& owner) : owner_(owner) {
      auto raw = owner.answering_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ISIG);
      set(raw);
      put("\x1b[?2004h");
    }
    editing(editing const&) = delete;
    editing& operator=(editing const&) = delete;
    ~editing() {
      put("\x1b[?2004l");
      set(owner_.answering_);
    }

   private:
    terminal const& owner_;
  };

 private:
  static void set(termios const& modes) { tcsetattr(STDIN_FILENO, TCSADRAIN, &modes); }

  static inline termios before_{};
  static inline volatile bool found_ = false;
  termios answering_{};
};

}  // namespace chat
