// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include <loopserve/loopserve.hpp>

/// The sum by the cpu backend, through an addition of columns.
float host_sum(std::vector<float> const& x) {
  std::vector<float> sum = {0};
  for (auto const& v : x) {
    loopserve::add(loopserve::cpu(1), loopserve::tensor_view<float const, 2>(&v, {1, 1}),
                   loopserve::tensor_view<float, 2>(sum.data(), {1, 1}));
  }
  return sum[0];
}
