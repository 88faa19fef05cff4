// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace loopserve::detail {

/// What stands at a place of a text that should be UTF-8.
struct utf8_step {
  int length;  ///< bytes of the character; where ill-formed, of the maximal part of a character (Unicode 15, section 3.9, "U+FFFD substitution")
  bool valid;
  bool cut;  ///< ill-formed only because the text ends: more bytes could complete it
};

inline utf8_step step_utf8(std::string_view text, std::size_t at) {
  auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  auto const lead = byte(at);
  if (lead < 0x80) { return {1, true, false}; }
  int const length = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  if (length == 0) { return {1, false, false}; }
  // The second byte's range excludes overlong forms, surrogates and what lies beyond U+10FFFF.
  unsigned low = lead == 0xe0 ? 0xa0U : lead == 0xf0 ? 0x90U : 0x80U;
  unsigned high = lead == 0xed ? 0x9fU : lead == 0xf4 ? 0x8fU : 0xbfU;
  for (int i = 1; i < length; ++i) {
    if (at + static_cast<std::size_t>(i) >= text.size()) { return {i, false, true}; }
    auto const next = byte(at + static_cast<std::size_t>(i));
    if (next < low || next > high) { return {i, false, false}; }
    low = 0x80;
    high = 0xbf;
  }
  return {length, true, false};
}

/// The end of the longest well-formed stretch that begins at `at`.
inline std::size_t valid_utf8_end(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    std::uint64_t eight = 0;
    if (at + 8 <= text.size()) {
      std::memcpy(&eight, text.data() + at, 8);
      if ((eight & 0x8080808080808080U) == 0) {
        at += 8;
        continue;
      }
    }
    auto const step = step_utf8(text, at);
    if (!step.valid) { return at; }
    at += static_cast<std::size_t>(step.length);
  }
  return at;
}

/// The code point of the well-formed character at `at`.
inline char32_t code_point(std::string_view text, std::size_t at) {
  auto const byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
  auto const lead = byte(0);
  if (lead < 0x80) { return lead; }
  if (lead < 0xe0) { return ((lead & 0x1f) << 6) | (byte(1) & 0x3f); }
  if (lead < 0xf0) { return ((lead & 0x0f) << 12) | ((byte(1) & 0x3f) << 6) | (byte(2) & 0x3f); }
  return ((lead & 0x07) << 18) | ((byte(1) & 0x3f) << 12) | ((byte(2) & 0x3f) << 6) | (byte(3) & 0x3f);
}

inline void append_utf8(std::string& out, char32_t c) {
  auto const put = [&](char32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | (c >> 6));
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3f));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

/// Unicode's White_Space property.
constexpr bool is_white_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
         c == 0x202f || c == 0x205f || c == 0x3000;
}

inline constexpr char const* replacement_character = "\xEF\xBF\xBD";  // U+FFFD
inline constexpr std::string_view lower_one_eighth_block = "\xE2\x96\x81";  // U+2581, sentencepiece's mark for a space

}  // namespace loopserve::detail
