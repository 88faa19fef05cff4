// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <jansson.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/json_value.hpp>

namespace loopserve {

/// Where a JSON text comes from, and what is asked of it beyond the grammar.
struct json_source {
  std::string file;
  std::uint64_t start = 0;   ///< the byte of the file that the text begins at
  bool unique_keys = false;  ///< whether an object may have a key once only; otherwise the last one counts
};

/// Throws format_error, with the byte that reading came to, for what is no JSON in UTF-8.
inline json_value parse_json(std::string_view text, json_source source) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.substr(0, byte_order_mark.size()) == byte_order_mark) {
    text.remove_prefix(byte_order_mark.size());
    source.start += byte_order_mark.size();
  }
  json_error_t error;
  std::size_t const flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | (source.unique_keys ? JSON_REJECT_DUPLICATES : 0);
  auto* parsed = json_loadb(text.data(), text.size(), flags, &error);
  // Tokenizers have lengths of 10^30, which are real numbers for who cannot hold them.
  if (parsed == nullptr && json_error_code(&error) == json_error_numeric_overflow) {
    parsed = json_loadb(text.data(), text.size(), flags | JSON_DECODE_INT_AS_REAL, &error);
  }
  if (parsed != nullptr) { return json_value(parsed); }
  bool const twice = json_error_code(&error) == json_error_duplicate_key;
  bad_file_at(source.file, source.start + static_cast<std::uint64_t>(std::max(0, error.position)), "its JSON",
              twice ? "every key of an object once" : "JSON in UTF-8", "a fault: " + shown(error.text, 240));
}

}  // namespace loopserve
