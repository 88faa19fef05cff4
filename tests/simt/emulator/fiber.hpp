// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace loopserve::simt {

/// A stack of its own that runs a function and may be left in the middle. One OS thread drives all of them.
class fiber {
 public:
  fiber();
  ~fiber();
  fiber(fiber const&) = delete;
  fiber& operator=(fiber const&) = delete;

  /// The next resume begins `body`; what ran here before is forgotten, without its destructors. `body` throws nothing.
  void start(void (*body)(void*), void* argument);

  /// Runs until the fiber suspends itself or `body` has ended. Not called from inside a fiber.
  void resume();

  /// Called inside the fiber that runs: back to where it was resumed.
  static void suspend();

  bool done() const { return done_; }

 private:
  static void begin();

  static constexpr std::size_t stack_bytes = 256 * 1024;
  char* memory_ = nullptr;  // a guard page, then the stack
  void* at_ = nullptr;      // the stack pointer while it does not run
  void* fake_stack_ = nullptr;
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool done_ = true;
};

}  // namespace loopserve::simt
