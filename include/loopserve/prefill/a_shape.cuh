// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/prefill/a_shape.hpp>
#include <loopserve/prefill/a_shape_kernel.hpp>

namespace loopserve {

/// The reference's declare_a_shape.
template <device_backend B>
void declare_a_shape(B const& b, line_plan_view plan, int sinks, int local) {
  sinks = std::min(sinks, plan.keys);
  local = std::min(local, plan.keys);
  b.launch({std::max(1, blocks_for(std::max(sinks, local), a_shape_kernel::threads)), plan.heads}, a_shape_kernel{plan, sinks, local});
}

}  // namespace loopserve
