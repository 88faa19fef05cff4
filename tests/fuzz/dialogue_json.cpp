// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "../../examples/shared/dialogue_file.hpp"

/// Any bytes are read as conversations with at least one turn each, or refused by a format_error.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  try {
    auto const text = std::string_view(reinterpret_cast<char const*>(data), size);
    auto const dialogues = programs::dialogue_reader("input").read(text);
    if (dialogues.empty()) { std::abort(); }
    for (auto const& d : dialogues) {
      if (d.empty()) { std::abort(); }
      for (auto const& t : d) {
        if (programs::facts_right(t.facts, t.user) > static_cast<int>(t.facts.size())) { std::abort(); }
      }
    }
  } catch (loopserve::format_error const&) {
  }
  return 0;
}
