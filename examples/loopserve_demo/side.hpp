// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <loopserve/serve/turn_report.hpp>

#include "recording.hpp"

namespace demo {

struct side_settings {
  std::filesystem::path model;
  bool sparse = true;  ///< both phases, or nothing skipped
  double alpha = 0.98;
  double budget_share = 0.1;
  int threads = 0;
  int max_tokens = 96;
};

struct side_turn {
  std::string text;
  loopserve::turn_report report;
};

/// One of the two engines that answer side by side.
class side {
 public:
  explicit side(side_settings const& s);
  side(side&&) noexcept;
  ~side();

  side_turn say(std::string const& text);

  /// The last prefill's plans, a layer each.
  std::vector<recorded_plan> const& plans() const;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace demo
