// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <loopserve/core/error.hpp>

namespace loopserve {

/// A text from a file as an error message may show it: short, and without control characters.
inline std::string shown(std::string const& text, std::size_t longest = 80) {
  std::string out;
  for (unsigned char c : text.substr(0, longest)) { out += c < 0x20 || c == 0x7f ? '?' : static_cast<char>(c); }
  return text.size() > longest ? out + "..." : out;
}

/// The same between single quotes. Appends, because gcc 12 warns of a memcpy (-Wrestrict) where a one-character literal stands before a moved string.
inline std::string in_quotes(std::string const& text) {
  std::string out = "'";
  out += shown(text);
  out += '\'';
  return out;
}

/// Throws format_error: "FILE: WHERE: expected EXPECTED, found FOUND".
[[noreturn]] inline void bad_file(std::string const& file, std::string const& where, std::string const& expected, std::string const& found) {
  throw format_error(file + ": " + where + ": expected " + expected + ", found " + found);
}

/// The same for a place in a file: "... at byte OFFSET".
[[noreturn]] inline void bad_file_at(std::string const& file, std::uint64_t offset, std::string const& where, std::string const& expected,
                                     std::string const& found) {
  bad_file(file, where + " at byte " + std::to_string(offset), expected, found);
}

}  // namespace loopserve
