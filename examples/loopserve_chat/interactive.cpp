// SPDX-License-Identifier: Apache-2.0
#include "interactive.hpp"

#include <charconv>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include <loopserve/core/error.hpp>

#include "../shared/checked_text.hpp"
#include "../shared/progress.hpp"
#include "interrupt.hpp"
#include "json_line.hpp"
#include "line_reader.hpp"
#include "remarks.hpp"
#include "stats.hpp"

namespace chat {
namespace {

char const* const help_text =
    "/rewind N   back to after the first N turns (0: the beginning)\n"
    "/stats      what each turn took and skipped\n"
    "/fork       go on in a copy of this conversation, which shares its cache\n"
    "/switch N   go on in conversation N\n"
    "/new        begin another conversation\n"
    "/read FILE  say what the file holds\n"
    "/help       this text\n"
    "/quit       leave (also Ctrl-D, or Ctrl-C twice)\n"
    "Anything else is said. // at the beginning says a text that begins with /. Ctrl-C cancels an answer.\n";

int number_of(std::string const& command, std::string const& text) {
  int n = 0;
  auto const [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (failure != std::errc() || stop != text.data() + text.size()) { throw loopserve::error(command + " takes a number, not '" + text + "'"); }
  return n;
}

std::string content_of(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || text.empty()) { throw loopserve::error(path + " cannot be read, or is empty"); }
  return text;
}

class session {
 public:
  session(partner& with, settings const& s) : with_(&with), json_(s.json) { with_->open(); }

  /// False where the user leaves.
  bool handle(std::string const& line) {
    cancelled_ = false;
    if (line.empty()) { return true; }
    if (line[0] != '/') {
      say(programs::checked_text(line, "the text"));
    } else if (line.size() > 1 && line[1] == '/') {
      say(line.substr(1));
    } else {
      auto const space = line.find(' ');
      return command(line.substr(0, space), space == std::string::npos ? "" : line.substr(space + 1));
    }
    return true;
  }

  /// Whether the last line's answer was cancelled.
  bool cancelled() const { return cancelled_; }

  std::string prompt() const { return with_->count() > 1 ? std::to_string(with_->current() + 1) + "> " : "> "; }

 private:
  bool command(std::string const& name, std::string const& rest) {
    if (name == "/quit" || name == "/exit") { return false; }
    if (name == "/help") {
      std::cout << help_text;
    } else if (name == "/stats") {
      std::cout << stats_table(with_->reports());
    } else if (name == "/rewind") {
      with_->rewind(number_of(name, rest));
    } else if (name == "/fork") {
      with_->fork();
      std::cout << "conversation " << with_->current() + 1 << "\n";
    } else if (name == "/new") {
      with_->open();
      std::cout << "conversation " << with_->current() + 1 << "\n";
    } else if (name == "/switch") {
      with_->select(number_of(name, rest) - 1);
    } else if (name == "/read") {
      say(programs::checked_text(content_of(rest), rest));
    } else {
      throw loopserve::error("there is no command " + name + " (see /help)");
    }
    std::cout << std::flush;
    return true;
  }

  void say(std::string const& text) {
    programs::progress bar("reading", "tokens");
    interrupt const guard(*with_);
    auto const result = with_->say(text, {[&](int done, int total) { bar.update(done, total); },
                                          [&](std::string const& piece) {
                                            bar.clear();
                                            if (!json_) { std::cout << piece << std::flush; }
                                          }});
    bar.clear();
    if (json_) { std::cout << json_line({with_->current(), result.report.turn, 0, 0}, result); }
    std::cout << std::endl;
    cancelled_ = result.report.finish == loopserve::finish_reason::cancelled;
    if (cancelled_) { std::cerr << "(cancelled)" << std::endl; }
    for (auto const& remark : remarks(result.report)) { std::cerr << "(" << remark << ")" << std::endl; }
  }

  partner* with_;
  bool json_;
  bool cancelled_ = false;
};

}  // namespace

int run_interactive(partner& with, settings const& s) {
  session talk(with, s);
  line_reader input;
  std::string line;
  bool interrupted = false;
  for (;;) {
    auto const end = input.read(talk.prompt(), line);
    if (end == line_end::closed || (end == line_end::interrupted && interrupted)) { return 0; }
    interrupted = end == line_end::interrupted;
    if (interrupted) {
      std::cerr << "(Ctrl-C again leaves)" << std::endl;
      continue;
    }
    try {
      if (!talk.handle(line)) { return 0; }
      interrupted = talk.cancelled();
    } catch (std::exception const& e) { std::cerr << "loopserve-chat: " << e.what() << std::endl; }
  }
}

}  // namespace chat
