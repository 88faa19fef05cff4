// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/kv/sink_window.hpp>
#include <loopserve/kv/sink_window_kernel.hpp>

namespace loopserve {

/// The reference's keep_ends.
template <device_backend B>
void keep_ends(B const& b, kept_rows_view keep, int context, int sinks, int budget) {
  b.launch({std::max(1, blocks_for(budget, keep_ends_kernel::threads)), keep.kv_heads}, keep_ends_kernel{keep, context, sinks, budget});
}

}  // namespace loopserve
