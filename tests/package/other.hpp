// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include <loopserve/loopserve.hpp>

/// The largest difference between the two backends' products of many rows with bf16 weights, which takes whatever library the build has found.
inline double product_difference() {
  namespace ls = loopserve;
  ls::index_t const rows = 128, in = 96, out = 64;
  std::vector<float> x(static_cast<std::size_t>(rows * in));
  std::vector<ls::bf16> w(static_cast<std::size_t>(out * in));
  for (std::size_t i = 0; i < x.size(); ++i) { x[i] = static_cast<float>(i % 17) / 16 - 0.5F; }
  for (std::size_t i = 0; i < w.size(); ++i) { w[i] = ls::bf16(static_cast<float>(i % 13) / 8 - 0.75F); }
  std::vector<float> fast(static_cast<std::size_t>(rows * out)), exact(fast.size());
  ls::tensor_view<float const, 2> const view(x.data(), {rows, in});
  ls::weight_view const weights{ls::element_type::bf16, out, in, w.data()};
  matmul(ls::cpu{}, view, weights, {}, ls::tensor_view<float, 2>(fast.data(), {rows, out}));
  matmul(ls::reference{}, view, weights, {}, ls::tensor_view<float, 2>(exact.data(), {rows, out}));
  double worst = 0;
  for (std::size_t i = 0; i < fast.size(); ++i) { worst = std::fmax(worst, std::fabs(fast[i] - exact[i])); }
  return worst;
}

double product_difference_elsewhere();
loopserve::version_number version_elsewhere();
