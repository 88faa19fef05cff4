// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <loopserve/loopserve.hpp>

inline double sum_of_squares(int n) {
  loopserve::reference b;
  std::vector<double> squares(static_cast<std::size_t>(n));
  loopserve::parallel_for(b.threads(), n, [&](loopserve::index_t i) { squares[static_cast<std::size_t>(i)] = static_cast<double>(i * i); });
  double sum = 0;
  for (double s : squares) { sum += s; }
  return sum;
}

double sum_of_squares_elsewhere(int n);
loopserve::version_number version_elsewhere();
