// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "partner.hpp"
#include "terminal.hpp"

namespace chat {

/// While it lives, Ctrl-C cancels the answer of `with`; a second one before the answer has ended leaves the program. One at a time.
class interrupt {
 public:
  explicit interrupt(partner& with) {
    pressed_.store(0);
    target_.store(&with);
    struct sigaction act {};
    act.sa_handler = on_signal;
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, &before_);
  }
  interrupt(interrupt const&) = delete;
  interrupt& operator=(interrupt const&) = delete;
  ~interrupt() {
    sigaction(SIGINT, &before_, nullptr);
    target_.store(nullptr);
  }

 private:
  static_assert(std::atomic<partner*>::is_always_lock_free && std::atomic<int>::is_always_lock_free, "signal handlers take lock-free atomics only");

  static void on_signal(int) {
    if (pressed_.fetch_add(1) > 0) {
      terminal::put_back();
      _exit(130);
    }
    if (auto* const with = target_.load()) { with->cancel(); }
  }

  static inline std::atomic<partner*> target_{nullptr};
  static inline std::atomic<int> pressed_{0};
  struct sigaction before_ {};
};

}  // namespace chat
