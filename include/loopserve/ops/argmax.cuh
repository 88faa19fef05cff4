// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/argmax.hpp>
#include <loopserve/ops/argmax_kernel.hpp>

namespace loopserve {

/// The reference's argmax of values in the device's memory. It returns a value of the host's, so it waits.
template <device_backend B>
int argmax(B const& b, std::span<float const> values) {
  check(!values.empty(), "argmax: there is nothing to choose from");
  auto best = b.template make_buffer<unsigned long long>(1);
  b.fill(best.data(), 0, best.bytes());
  auto const count = static_cast<index_t>(values.size());
  using kernel = argmax_kernel<float>;
  b.launch({1, blocks_for(count, kernel::tile)}, kernel{tensor_view<float const, 2>(values.data(), {1, count}), best.data()});
  unsigned long long key = 0;
  b.copy_to_host(&key, best.data(), sizeof key);
  if (!argmax_key::is_number(key)) { throw error("argmax: value " + std::to_string(argmax_key::index(key)) + " is not a number"); }
  return argmax_key::index(key);
}

}  // namespace loopserve
