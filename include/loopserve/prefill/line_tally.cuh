// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/prefill/line_tally.hpp>
#include <loopserve/prefill/line_tally_kernel.hpp>

namespace loopserve {

/// The reference's tally_lines.
template <device_backend B>
void tally_lines(B const& b, line_plan_view plan, double share, line_tally* to) {
  b.launch({plan.heads}, line_tally_kernel{plan, share, to});
}

}  // namespace loopserve
