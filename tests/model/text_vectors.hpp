// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <loopserve/model/text/tokenizer.hpp>

namespace text_test {

inline std::filesystem::path material(char const* path) { return std::filesystem::path(LOOPSERVE_MATERIAL) / path; }

/// False, with a line that says so, where the material is absent.
inline bool have_material() {
  if (std::filesystem::exists(LOOPSERVE_MATERIAL)) { return true; }
  std::puts("skipped: no material");
  return false;
}

inline std::string read(std::filesystem::path const& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline std::string joined(std::vector<loopserve::token_id> const& ids) {
  std::string out;
  for (auto id : ids) { out += (out.empty() ? "" : " ") + std::to_string(loopserve::raw(id)); }
  return out;
}

/// A text and the ids that llama.cpp gives it, with one space between.
struct vector_case {
  std::string text;
  std::string ids;
};

inline std::vector<vector_case> vectors(char const* name) {
  auto const base = material("tokenizers/vectors/").string() + name;
  auto const input = read(base + ".inp");
  std::vector<vector_case> out;
  std::string const separator = "\n__ggml_vocab_test__\n";
  for (std::size_t at = 0; at <= input.size();) {
    auto const end = input.find(separator, at);
    out.push_back({input.substr(at, end == std::string::npos ? end : end - at), ""});
    if (end == std::string::npos) { break; }
    at = end + separator.size();
  }
  std::istringstream lines(read(base + ".out"));
  std::size_t i = 0;
  for (std::string line; std::getline(lines, line) && i < out.size(); ++i) {
    std::istringstream words(line);
    for (std::string word; words >> word;) { out[i].ids += (out[i].ids.empty() ? "" : " ") + word; }
  }
  return out;
}

}  // namespace text_test
