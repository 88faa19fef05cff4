// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/primitives.hpp>
#include <loopserve/ops/kept_rows_view.hpp>

namespace loopserve {

/// The same list for every KV head. A thread a place in it, block (x, head).
struct keep_ends_kernel {
  static constexpr int threads = 128;

  kept_rows_view keep;
  int context, sinks, budget;

  LOOPSERVE_DEVICE void operator()() const {
    int const i = dev::block().x * threads + dev::thread(), h = dev::block().y;
    if (i < budget) { dev::store(keep.rows + h * keep.stride + i, i < sinks ? i : context - budget + i); }
    if (i == 0) { dev::store(keep.counts + h, budget); }
  }
};

}  // namespace loopserve
