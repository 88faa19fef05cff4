// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "../shared/part_settings.hpp"

namespace chat {

/// What the command line says; empty options leave a number to the model or to the component.
struct settings {
  std::filesystem::path model;
  std::vector<std::string> prompts;
  std::filesystem::path file;
  std::string system;
  bool raw = false;
  bool json = false;

  programs::part_settings parts;

  std::optional<int> max_tokens;
  double temperature = 0;
  int top_k = 0;
  double top_p = 1;
  double min_p = 0;
  std::uint64_t seed = 0;

  std::string backend = "cpu";
  int threads = 0;
  std::string kv_type;
  int context = 0;
  std::string on_full = "refuse";
};

}  // namespace chat
