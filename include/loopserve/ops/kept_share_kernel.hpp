// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/reduce.hpp>
#include <loopserve/ops/kept_rows_view.hpp>

namespace loopserve {

/// One warp.
struct kept_share_kernel {
  static constexpr int threads = 32;

  kept_rows_view lists;
  int context;
  double* sum;

  LOOPSERVE_DEVICE void operator()() const {
    int rows = 0;
    for (int h = dev::thread(); h < lists.kv_heads; h += threads) { rows += dev::load(lists.counts + h); }
    rows = dev::warp_reduce(rows, dev::plus{});
    if (dev::thread() == 0) { dev::store(sum, dev::load(sum) + static_cast<double>(rows) / lists.kv_heads / context); }
  }
};

}  // namespace loopserve
