// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/store_rows.hpp>
#include <loopserve/ops/store_rows_kernel.hpp>

namespace loopserve {

/// The reference's store_rows; the page table lies in the device's memory too. Where f16 does not hold a number, `synchronize()` throws error.
template <device_backend B, class Element>
void store_rows(B const& b, tensor_view<float const, 3> rows, page_table_view<Element> to, int first) {
  check(rows.stride(2) == 1 || rows.extent(2) <= 1, "the last axis of rows to store must be dense");
  if (rows.size() == 0) { return; }
  b.launch({blocks_for(rows.extent(0), 1)}, store_rows_kernel<Element>{rows, to, first, b.faults()});
}

}  // namespace loopserve
