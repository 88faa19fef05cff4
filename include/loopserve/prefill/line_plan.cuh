// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/prefill/line_plan.hpp>
#include <loopserve/prefill/line_plan_kernel.hpp>

namespace loopserve {

/// The reference's declare_dense, for a plan whose lists lie in the device's memory.
template <device_backend B>
void declare_dense(B const& b, line_plan_view plan) {
  b.launch({blocks_for(plan.heads, declare_dense_kernel::threads)}, declare_dense_kernel{plan});
}

}  // namespace loopserve
