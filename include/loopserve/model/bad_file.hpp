// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <loopserve/core/error.hpp>

namespace loopserve {

/// A text from a file as an error message may show it: short, and without control characters.
inline std::string shown(std::string_view text, std::size_t longest = 80) {
  std::string out;
  for (unsigned char c : text.substr(0, longest)) { out += c < 0x20 || c == 0x7f ? '?' : static_cast<char>(c); }
  return text.size() > longest ? out + "..." : out;
}

/// The same between single quotes. Appends, because gcc 12 warns of a memcpy (-Wrestrict) where a one-character literal stands before a moved string.
inline std::string in_quotes(std::string_view text) {
  std::string out = "'";
  out += shown(text);
  out += '\'';
  return out;
}

/// Throws format_error: "FILE: WHERE: expected EXPECTED, found FOUND".
[[noreturn]] inline void bad_file(std::string_view file, std::string_view where, std::string_view expected, std::string_view found) {
  std::string out;
  for (auto part : {file, std::string_view(": "), where, std::string_view(": expected "), expected, std::string_view(", found "), found}) { out += part; }
  throw format_error(out);
}

/// The same for a place in a file: "... at byte OFFSET".
[[noreturn]] inline void bad_file_at(std::string_view file, std::uint64_t offset, std::string_view where, std::string_view expected, std::string_view found) {
  bad_file(file, std::string(where) + " at byte " + std::to_string(offset), expected, found);
}

}  // namespace loopserve
