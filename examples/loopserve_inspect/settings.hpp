// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "../shared/part_settings.hpp"

namespace inspect {

/// What the command line says.
struct settings {
  std::filesystem::path model;
  bool json = false;

  int context = 0;          ///< 0: no memory plan
  std::int64_t memory = 0;  ///< bytes, 0: no limit

  std::string tokenize;  ///< a file, or - for standard input
  std::string score;
  bool ids = false;

  programs::part_settings parts;
  std::string backend = "cpu";
  std::string kv_type;
  int threads = 0;
};

}  // namespace inspect
