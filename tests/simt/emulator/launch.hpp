// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "block.hpp"
#include "schedule.hpp"

namespace loopserve::simt {

/// Runs all blocks of a launch, `order.resident_blocks` at a time. Throws simt_error.
void run(launch_shape const& launch, schedule const& order);

}  // namespace loopserve::simt
