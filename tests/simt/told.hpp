// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "emulator/emulated.hpp"

namespace simt_test {

/// Runs the kernel under every schedule and gives what the emulator says; empty where it says nothing.
template <class Kernel>
std::string told(Kernel const& kernel, loopserve::grid blocks = {}) {
  for (auto const& order : loopserve::simt::schedules()) {
    try {
      loopserve::emulated(order).launch(blocks, kernel);
    } catch (loopserve::simt::simt_error const& e) { return e.what(); }
  }
  return {};
}

inline bool says(std::string const& text, char const* part) {
  INFO(text);
  bool const found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

}  // namespace simt_test
