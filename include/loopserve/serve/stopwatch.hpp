// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace loopserve {

/// Adds the milliseconds of its own lifetime to a total.
class stopwatch {
 public:
  explicit stopwatch(double& total_ms) : total_ms_(&total_ms), start_(clock::now()) {}
  stopwatch(stopwatch const&) = delete;
  stopwatch& operator=(stopwatch const&) = delete;
  ~stopwatch() { *total_ms_ += std::chrono::duration<double, std::milli>(clock::now() - start_).count(); }

 private:
  using clock = std::chrono::steady_clock;
  double* total_ms_;
  clock::time_point start_;
};

}  // namespace loopserve
