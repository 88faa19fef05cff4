// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <loopserve/core/error.hpp>
#include <loopserve/model/text/utf8.hpp>

namespace programs {

/// The text, where it is UTF-8. Throws format_error with `name` and the offset of what is not.
inline std::string const& checked_text(std::string const& text, std::string const& name) {
  auto const at = loopserve::detail::valid_utf8_end(text, 0);
  if (at < text.size()) {
    throw loopserve::format_error(name + ": byte " + std::to_string(at) + ": expected UTF-8, found the byte " + std::to_string(static_cast<unsigned char>(text[at])));
  }
  return text;
}

}  // namespace programs
