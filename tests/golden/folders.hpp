// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

namespace golden {

/// The folders that hold a model and its golden.json: the demo model, this repository's small shapes and, where it is there, the material's families.
inline std::vector<std::string> folders() {
  std::vector<std::string> found{LOOPSERVE_SOURCE_DIR "/assets/demo-model"};
  for (char const* root : {LOOPSERVE_SOURCE_DIR "/tests/data/shapes", LOOPSERVE_MATERIAL "/models/families"}) {
    if (!std::filesystem::exists(root)) {
      MESSAGE("skipped: no material");
      continue;
    }
    for (auto const& entry : std::filesystem::directory_iterator(root)) {
      if (entry.is_directory()) { found.push_back(entry.path().string()); }
    }
  }
  return found;
}

}  // namespace golden
