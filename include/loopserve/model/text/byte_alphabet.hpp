// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include <loopserve/model/text/utf8.hpp>

namespace loopserve::detail {

/// The alphabet in which byte-level vocabularies are written: each byte is one printable character (Radford et al., Language models are unsupervised
/// multitask learners, 2019). Printable Latin-1 bytes stand for themselves, the others for U+0100 onwards in their order.
class byte_alphabet {
 public:
  static byte_alphabet const& get() {
    static byte_alphabet const alphabet;
    return alphabet;
  }

  /// The bytes that a vocabulary entry stands for; nothing where it holds a character outside the alphabet.
  std::optional<std::string> bytes(std::string_view entry) const {
    std::string out;
    out.reserve(entry.size());
    for (std::size_t i = 0; i < entry.size();) {
      auto const step = step_utf8(entry, i);
      if (!step.valid) { return {}; }
      auto const c = code_point(entry, i);
      if (c >= byte_of_.size() || byte_of_[c] < 0) { return {}; }
      out += static_cast<char>(static_cast<unsigned char>(byte_of_[c]));
      i += static_cast<std::size_t>(step.length);
    }
    return out;
  }

 private:
  byte_alphabet() {
    byte_of_.fill(-1);
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      bool const itself = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      byte_of_[itself ? static_cast<char32_t>(b) : next++] = static_cast<short>(b);
    }
  }
  std::array<short, 324> byte_of_{};
};

}  // namespace loopserve::detail
