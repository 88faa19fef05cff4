// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>

namespace inspect {

/// All bytes of a file, or of standard input for "-".
inline std::string read_text(std::string const& name) {
  if (name == "-") { return {std::istreambuf_iterator<char>(std::cin), {}}; }
  std::ifstream file(name, std::ios::binary);
  if (!file || std::filesystem::is_directory(name)) { throw loopserve::error(name + " cannot be read"); }
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Decimal ids below `vocabulary`, separated by white space. Throws format_error with the offset of what is none.
inline std::vector<loopserve::token_id> ids_of(std::string const& text, std::string const& name, int vocabulary) {
  std::vector<loopserve::token_id> ids;
  auto const spaces = " \t\r\n";
  for (auto at = text.find_first_not_of(spaces); at != std::string::npos; at = text.find_first_not_of(spaces, at)) {
    auto const end = std::min(text.size(), text.find_first_of(spaces, at));
    int id = 0;
    auto const [stop, failure] = std::from_chars(text.data() + at, text.data() + end, id);
    if (failure != std::errc() || stop != text.data() + end || id < 0 || id >= vocabulary) {
      throw loopserve::format_error(name + ": offset " + std::to_string(at) + ": expected a token id below " + std::to_string(vocabulary) + ", found '" +
                                    text.substr(at, std::min<std::size_t>(end - at, 20)) + "'");
    }
    ids.push_back(static_cast<loopserve::token_id>(id));
    at = end;
  }
  return ids;
}

}  // namespace inspect
