// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/primitives.hpp>
#include <loopserve/prefill/line_plan.hpp>

namespace loopserve {

/// Every head attends to every causal cell. A thread a head.
struct declare_dense_kernel {
  static constexpr int threads = 32;

  line_plan_view plan;

  LOOPSERVE_DEVICE void operator()() const {
    int const h = dev::block().x * threads + dev::thread();
    if (h >= plan.heads) { return; }
    dev::store(plan.vertical_counts + h, 0);
    dev::store(plan.slash_counts + h, 0);
    dev::store(plan.dense + h, 1);
    dev::store(plan.covered + h, 1.0F);
  }
};

}  // namespace loopserve
