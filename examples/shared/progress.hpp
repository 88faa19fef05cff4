// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace programs {

/// One line on stderr that renews itself: what runs, how far it is, how fast, and the time left. It shows nothing unless stderr is a terminal, and nothing of what
/// ends within half a second.
class progress {
 public:
  /// `what` such as "reading", `unit` such as "tokens".
  progress(std::string what, std::string unit) : what_(std::move(what)), unit_(std::move(unit)), shown_(isatty(STDERR_FILENO) == 1) {}
  progress(progress const&) = delete;
  progress& operator=(progress const&) = delete;
  ~progress() { clear(); }

  void update(std::int64_t done, std::int64_t total) {
    if (!shown_) { return; }
    auto const now = clock::now();
    if (now - start_ < std::chrono::milliseconds(500) || (drawn_ && now - last_ < std::chrono::milliseconds(100))) { return; }
    last_ = now;
    std::fprintf(stderr, "\r%s\x1b[K", line(what_, unit_, done, total, std::chrono::duration<double>(now - start_).count()).c_str());
    std::fflush(stderr);
    drawn_ = true;
  }

  /// Takes the line away.
  void clear() {
    if (drawn_) { std::fprintf(stderr, "\r\x1b[K"); }
    std::fflush(stderr);
    drawn_ = false;
  }

  /// "reading 2048 of 8192 tokens, 512/s, 12 s left"
  static std::string line(std::string const& what, std::string const& unit, std::int64_t done, std::int64_t total, double seconds) {
    auto text = what + " " + std::to_string(done) + " of " + std::to_string(total) + " " + unit;
    if (done <= 0 || seconds <= 0) { return text; }
    double const rate = static_cast<double>(done) / seconds;
    text += ", " + std::to_string(static_cast<std::int64_t>(rate)) + "/s";
    return text + ", " + std::to_string(static_cast<std::int64_t>(static_cast<double>(total - done) / rate + 0.5)) + " s left";
  }

 private:
  using clock = std::chrono::steady_clock;
  std::string what_, unit_;
  bool shown_;
  bool drawn_ = false;
  clock::time_point start_ = clock::now(), last_{};
};

}  // namespace programs
