// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <type_traits>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/element.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// Where the keys (or values) of one layer may be written: the writable side of a kv_view.
template <class Element>
struct page_table_view {
  Element* const* pages = nullptr;  ///< (kv_heads, stride): pages of 2^page_shift tokens
  index_t stride = 0;
  int page_shift = 30;
  index_t row_stride = 0;  ///< elements between two tokens of a page

  Element* row(index_t token, index_t head) const {
    return pages[head * stride + (token >> page_shift)] + (token & ((index_t{1} << page_shift) - 1)) * row_stride;
  }
};

namespace detail {

inline constexpr float f16_beyond = 65520.0F;  ///< the smallest magnitude that rounds to f16's infinity

/// Throws for the first channel of a row that f16 does not hold.
[[noreturn]] inline void refuse_beyond_f16(float const* row, index_t dims, index_t token, index_t head) {
  index_t channel = 0;
  while (channel + 1 < dims && (row[channel] < f16_beyond && row[channel] > -f16_beyond)) { ++channel; }
  throw error("token " + std::to_string(token) + ", KV head " + std::to_string(head) + ", channel " + std::to_string(channel) + ": a key or value of " +
              std::to_string(row[channel]) + " is beyond the 65504 that f16 holds; store keys and values in bf16 or f32 (any_storage with kv_type, --kv-type of the programs)");
}

/// Calls `convert(from, to)` for each row of `rows` and its place, head by head.
template <class Element, class F>
void for_stored_rows(tensor_view<float const, 3> rows, page_table_view<Element> to, int first, F const& convert) {
  check(rows.stride(2) == 1 || rows.extent(2) <= 1, "the last axis of rows to store must be dense");
  for (index_t head = 0; head < rows.extent(1); ++head) {
    for (index_t i = 0; i < rows.extent(0); ++i) {
      float const* const from = rows.data() + i * rows.stride(0) + head * rows.stride(1);
      if (!convert(from, to.row(first + i, head))) { refuse_beyond_f16(from, rows.extent(2), first + i, head); }
    }
  }
}

}  // namespace detail

/// Converts `rows` (tokens, kv_heads, head_dim; the last axis dense) to the element type and writes them to tokens [first, first + tokens).
/// Throws error for a number that f16 would turn into an infinity; rows before it may then have been written.
template <class Element>
void store_rows(reference const&, tensor_view<float const, 3> rows, page_table_view<Element> to, int first) {
  detail::for_stored_rows(rows, to, first, [dims = rows.extent(2)](float const* from, Element* row) {
    bool fits = true;
    for (index_t c = 0; c < dims; ++c) {
      row[c] = static_cast<Element>(from[c]);
      if constexpr (std::is_same_v<Element, f16>) { fits = fits && !(from[c] >= detail::f16_beyond || from[c] <= -detail::f16_beyond); }
    }
    return fits;
  });
}

}  // namespace loopserve
