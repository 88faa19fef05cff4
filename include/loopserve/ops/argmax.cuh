// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/argmax.hpp>
#include <loopserve/ops/argmax_kernel.hpp>

namespace loopserve {

/// The reference's argmax_rows of values in the device's memory, in one launch. It waits once.
template <device_backend B>
std::vector<row_best> argmax_rows(B const& b, tensor_view<float const, 2> values) {
  check(values.extent(1) > 0, "argmax: there is nothing to choose from");
  std::vector<unsigned long long> keys(static_cast<std::size_t>(values.extent(0)));
  auto best = b.template make_buffer<unsigned long long>(values.extent(0));
  b.fill(best.data(), 0, best.bytes());
  using kernel = argmax_kernel<float>;
  b.launch({blocks_for(values.extent(0), 1), blocks_for(values.extent(1), kernel::tile)}, kernel{values, best.data()});
  b.copy_to_host(keys.data(), best.data(), best.bytes());
  std::vector<row_best> rows;
  for (auto const key : keys) { rows.push_back({argmax_key::index(key), argmax_key::value(key)}); }
  return rows;
}

/// The reference's argmax of values in the device's memory. It returns a value of the host's, so it waits.
template <device_backend B>
int argmax(B const& b, std::span<float const> values) {
  auto const best = argmax_rows(b, tensor_view<float const, 2>(values.data(), {1, static_cast<index_t>(values.size())}))[0];
  if (std::isnan(best.value)) { throw error("argmax: value " + std::to_string(best.at) + " is not a number"); }
  return best.at;
}

}  // namespace loopserve
