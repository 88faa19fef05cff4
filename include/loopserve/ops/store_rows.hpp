// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/backend.hpp>
#include <loopserve/core/element.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// Where the keys (or values) of one layer may be written: the writable side of a kv_view.
template <class Element>
struct page_table_view {
  Element* const* pages = nullptr;  ///< (kv_heads, stride): pages of 2^page_shift tokens
  index_t stride = 0;
  int page_shift = 30;
  index_t row_stride = 0;  ///< elements between two tokens of a page
};

/// Converts `rows` (tokens, kv_heads, head_dim; the last axis dense) to the element type and writes them to tokens [first, first + tokens).
template <class Element>
void store_rows(reference const&, tensor_view<float const, 3> rows, page_table_view<Element> to, int first) {
  check(rows.stride(2) == 1 || rows.extent(2) <= 1, "the last axis of rows to store must be dense");
  index_t const page_rows = index_t{1} << to.page_shift;
  index_t const dims = rows.extent(2);
  for (index_t head = 0; head < rows.extent(1); ++head) {
    for (index_t i = 0; i < rows.extent(0); ++i) {
      index_t const t = first + i;
      float const* const from = rows.data() + i * rows.stride(0) + head * rows.stride(1);
      Element* const row = to.pages[head * to.stride + (t >> to.page_shift)] + (t & (page_rows - 1)) * to.row_stride;
      for (index_t c = 0; c < dims; ++c) { row[c] = static_cast<Element>(from[c]); }
    }
  }
}

}  // namespace loopserve
