// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <type_traits>

#include <loopserve/core/config.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// The keys and values of one layer of one sequence, wherever they lie: contiguous, paged or gathered. It owns nothing, is trivially copyable
/// and is what kernels take. A batch is a span of these.
///
/// A token's K (after RoPE) is `key(i, kv_head)[0 .. head_dim)`, its V likewise; `i` counts from this view's own first token. Each KV head has a table
/// of pages of 2^page_shift tokens; contiguous storage is one page.
template <class Element>
struct kv_view {
  using element_type = Element;

  Element const* const* key_pages = nullptr;    ///< (kv_heads, pages)
  Element const* const* value_pages = nullptr;  ///< (kv_heads, pages)
  index_t page_table_stride = 0;                ///< pages between the tables of two KV heads
  int page_shift = 30;
  index_t row_stride = 0;  ///< elements between two tokens of a page
  int kv_heads = 0;
  int head_dim = 0;
  int tokens = 0;                 ///< of the longest KV head
  int first = 0;                  ///< what `slice` skipped
  int const* lengths = nullptr;   ///< (kv_heads), for working sets whose heads differ; null: `tokens` for all
  int const* positions = nullptr;  ///< (kv_heads, positions_stride) absolute token positions; null: the token's index in the storage
  index_t positions_stride = 0;

  LOOPSERVE_HOST_DEVICE int length() const { return tokens; }
  LOOPSERVE_HOST_DEVICE int length(int kv_head) const { return lengths != nullptr ? lengths[kv_head] : tokens; }

  LOOPSERVE_HOST_DEVICE Element const* key(int i, int kv_head) const { return row(key_pages, i, kv_head); }
  LOOPSERVE_HOST_DEVICE Element const* value(int i, int kv_head) const { return row(value_pages, i, kv_head); }

  /// The absolute position that RoPE used; it survives compaction.
  LOOPSERVE_HOST_DEVICE int position(int i, int kv_head) const {
    return positions != nullptr ? positions[kv_head * positions_stride + first + i] : first + i;
  }

  /// How many tokens from `i` on lie one `row_stride` after the other (at least 1, clipped to the view).
  LOOPSERVE_HOST_DEVICE int run(int i, int kv_head) const {
    index_t const page = index_t{1} << page_shift;
    index_t const left = page - ((first + i) & (page - 1));
    index_t const inside = length(kv_head) - i;
    return static_cast<int>(left < inside ? left : inside);
  }

  /// Tokens [from, from + count) of a view whose heads are equally long.
  LOOPSERVE_HOST_DEVICE kv_view slice(int from, int count) const {
    auto part = *this;
    part.first += from;
    part.tokens = count;
    return part;
  }

 private:
  LOOPSERVE_HOST_DEVICE Element const* row(Element const* const* pages, int i, int kv_head) const {
    auto const t = static_cast<index_t>(first) + i;
    return pages[kv_head * page_table_stride + (t >> page_shift)] + (t & ((index_t{1} << page_shift) - 1)) * row_stride;
  }
};

/// What attention, selectors and policies ask of keys and values.
template <class View>
concept kv_view_like = std::is_trivially_copyable_v<View> && requires(View v, int i, int kv_head) {
  typename View::element_type;
  { v.length(kv_head) } -> std::convertible_to<int>;
  { v.key(i, kv_head) } -> std::convertible_to<typename View::element_type const*>;
  { v.value(i, kv_head) } -> std::convertible_to<typename View::element_type const*>;
  { v.position(i, kv_head) } -> std::convertible_to<int>;
};

}  // namespace loopserve
