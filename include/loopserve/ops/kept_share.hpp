// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/backend.hpp>
#include <loopserve/ops/kept_rows_view.hpp>

namespace loopserve {

/// Adds to `*sum`, which lies in the backend's memory, the share of `context` tokens that the lists keep: the mean over the KV heads.
inline void add_kept_share(reference const&, kept_rows_view lists, int context, double* sum) {
  double rows = 0;
  for (int h = 0; h < lists.kv_heads; ++h) { rows += lists.counts[h]; }
  *sum += rows / lists.kv_heads / context;
}

}  // namespace loopserve
