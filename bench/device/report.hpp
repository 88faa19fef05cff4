// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "ceilings.cuh"

namespace bench {

/// What a program measures, printed at once, one JSON object a line, so that one that fails or is ended loses nothing of it: a row, {"work", "shape", fields of
/// numbers}; a ceiling, {"ceiling", "value"}, of several with one name the largest counts; {"left_out": a sentence}. A number that is not finite is null.
class report {
 public:
  using fields = std::vector<std::pair<std::string, double>>;

  void ceiling(std::string const& name, double value) { print("\"ceiling\": \"" + name + "\"", {{"value", value}}); }
  void row(std::string const& work, std::string const& shape, fields const& numbers) { print("\"work\": \"" + work + "\", \"shape\": \"" + shape + "\"", numbers); }
  void left_out(std::string const& sentence) { print("\"left_out\": \"" + sentence + "\"", {}); }

 private:
  static void print(std::string const& said, fields const& numbers) {
    std::string text = said;
    for (auto const& [name, value] : numbers) {
      char digits[40];
      std::snprintf(digits, sizeof digits, "%.6g", value);
      text += ", \"" + name + "\": " + (std::isfinite(value) ? digits : "null");
    }
    std::printf("{%s}\n", text.c_str());
    std::fflush(stdout);
  }
};

/// Runs `measure(report)` on a device that is warm; 77 where there is no device, 1 with a sentence where something fails.
template <class Measure>
int run(Measure measure) {
  if (auto const reason = loopserve::cuda_unavailable(); !reason.empty()) {
    std::printf("skipped: %s\n", reason.c_str());
    return 77;
  }
  try {
    warm_up();
    report r;
    measure(r);
    return 0;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

}  // namespace bench
