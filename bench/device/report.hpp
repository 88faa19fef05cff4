// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/dev/cuda/check.cuh>

namespace bench {

/// What a program has measured, printed as one JSON object: {"ceilings": {name: number}, "rows": [{"work", "shape", fields of numbers}], "left_out": [sentences]}.
class report {
 public:
  using fields = std::vector<std::pair<std::string, double>>;

  void ceiling(std::string const& name, double value) { ceilings_.emplace_back(name, value); }
  void row(std::string const& work, std::string const& shape, fields const& numbers) {
    rows_ += std::string(rows_.empty() ? "" : ",\n  ") + "{\"work\": \"" + work + "\", \"shape\": \"" + shape + "\"" + listed(numbers, ", ") + "}";
  }
  void left_out(std::string const& sentence) { left_out_ += std::string(left_out_.empty() ? "" : ", ") + "\"" + sentence + "\""; }

  void print() const {
    auto const ceilings = listed(ceilings_, "");
    std::printf("{\"ceilings\": {%s},\n \"rows\": [\n  %s],\n \"left_out\": [%s]}\n", ceilings.c_str(), rows_.c_str(), left_out_.c_str());
  }

 private:
  static std::string listed(fields const& numbers, std::string before) {
    std::string text;
    for (auto const& [name, value] : numbers) {
      char digits[40];
      std::snprintf(digits, sizeof digits, "%.6g", value);
      text += before + "\"" + name + "\": " + digits;
      before = ", ";
    }
    return text;
  }

  fields ceilings_;
  std::string rows_, left_out_;
};

/// Runs `measure(report)` and prints it; 77 where there is no device, 1 with a sentence where something fails.
template <class Measure>
int run(Measure measure) {
  if (auto const reason = loopserve::cuda_unavailable(); !reason.empty()) {
    std::printf("skipped: %s\n", reason.c_str());
    return 77;
  }
  try {
    report r;
    measure(r);
    r.print();
    return 0;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

}  // namespace bench
