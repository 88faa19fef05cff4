// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/ids.hpp>

namespace loopserve {

/// Which tokens of the context one layer attends to, per KV head, as operations take it: ascending, unique token indices.
struct kept_rows_view {
  int kv_heads = 0;
  index_t stride = 0;     ///< between the lists of two KV heads
  int* rows = nullptr;    ///< (kv_heads, stride)
  int* counts = nullptr;  ///< (kv_heads)
};

}  // namespace loopserve
