// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/primitives.hpp>
#include <loopserve/prefill/line_plan.hpp>

namespace loopserve {

/// The same lines for every head. A thread a line, block (x, head).
struct a_shape_kernel {
  static constexpr int threads = 128;

  line_plan_view plan;
  int sinks, local;

  LOOPSERVE_DEVICE void operator()() const {
    int const i = dev::block().x * threads + dev::thread(), h = dev::block().y;
    if (i < sinks) { dev::store(plan.verticals + h * plan.stride + i, i); }
    if (i < local) { dev::store(plan.slashes + h * plan.stride + i, i); }
    if (i > 0) { return; }
    dev::store(plan.vertical_counts + h, sinks);
    dev::store(plan.slash_counts + h, local);
    dev::store(plan.dense + h, static_cast<unsigned char>(0));
    dev::store(plan.covered + h, __builtin_nanf(""));
  }
};

}  // namespace loopserve
