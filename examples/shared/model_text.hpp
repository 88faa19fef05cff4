// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include <loopserve/model/gguf.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/model/text/tokenizer.hpp>
#include <loopserve/model/text/tokenizer_gguf.hpp>

namespace programs {

inline loopserve::tokenizer tokenizer_of(loopserve::model_files const& files) {
  return files.gguf() != nullptr ? loopserve::tokenizer::from_gguf(*files.gguf()) : loopserve::tokenizer::from_folder(files.folder());
}

/// Of a GGUF file, also one that holds a vocabulary alone, or of a folder, also one without a model.
inline loopserve::tokenizer tokenizer_at(std::filesystem::path const& path) {
  if (!std::filesystem::is_directory(path)) { return loopserve::tokenizer::from_gguf(loopserve::gguf::open(path.string())); }
  bool const own = std::filesystem::exists(path / "tokenizer.json") || std::filesystem::exists(path / "vocab.json");
  if (own || std::filesystem::exists(path / "config.json")) { return loopserve::tokenizer::from_folder(path); }
  for (auto const& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() == ".gguf") { return tokenizer_of(*loopserve::model_files::open(path.string())); }
  }
  return loopserve::tokenizer::from_folder(path);  // says what it looked for
}

}  // namespace programs
