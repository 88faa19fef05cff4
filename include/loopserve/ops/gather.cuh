// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/gather.hpp>
#include <loopserve/ops/gather_kernel.hpp>

namespace loopserve {

/// The reference's gather_rows, slot by slot; rows are copied 16 bytes at a time where their addresses allow it. No list is longer than `to.capacity`.
/// Two launches of a size that does not depend on the lists, nothing waits.
template <device_backend B, class Element>
void gather_rows(B const& b, kv_view<Element> full, kept_rows_view keep, gathered_rows_view<Element> to) {
  check(full.kv_heads == keep.kv_heads, "gather_rows: the lists are those of the view's KV heads");
  if (keep.kv_heads == 0) { return; }
  index_t const size = keep.kv_heads * to.capacity;
  auto scratch = b.template make_buffer<int>(4 * size + keep.kv_heads);
  int* const ints = scratch.data();
  gather_plan const plan{ints, ints + size, ints + 2 * size, ints + 3 * size, ints + 4 * size};
  b.launch({keep.kv_heads}, plan_gather_kernel<Element>{keep, to, plan});
  using copy = copy_gathered_kernel<Element>;
  b.launch({blocks_for(to.capacity, copy::rows_per_block), keep.kv_heads}, copy{full, to, plan});
}

}  // namespace loopserve
