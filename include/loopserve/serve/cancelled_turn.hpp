// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace loopserve::detail {

/// Unwinds a chunk of prefill whose conversation was cancelled; never leaves the engine.
struct cancelled_turn {};

}  // namespace loopserve::detail
