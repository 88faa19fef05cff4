// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/attention/cpu/slash_kernels.hpp>
#include <loopserve/core/element.hpp>
#include <loopserve/core/kv_view.hpp>

namespace loopserve::detail {

/// A kv_view whose element type is known at run time: rows are addresses, strides count bytes. What is written over it is compiled once.
class stored_kv {
 public:
  template <class Element>
  explicit stored_kv(kv_view<Element> const& kv)
      : type(element_type_of<Element>),
        kv_heads(kv.kv_heads),
        head_dim(kv.head_dim),
        tokens(kv.tokens),
        row_bytes(kv.row_stride * static_cast<index_t>(sizeof(Element))),
        keys_(kv.key_pages),
        values_(kv.value_pages),
        page_table_stride_(kv.page_table_stride),
        page_shift_(kv.page_shift),
        first_(kv.first) {}

  unsigned char const* key(int i, int kv_head) const { return row(keys_, i, kv_head); }
  unsigned char const* value(int i, int kv_head) const { return row(values_, i, kv_head); }

  /// How many tokens from `i` on lie one `row_bytes` after the other, at least 1.
  int run(int i) const {
    index_t const page = index_t{1} << page_shift_;
    return static_cast<int>(std::min<index_t>(page - ((first_ + i) & (page - 1)), tokens - i));
  }

  element_type type;
  int kv_heads;
  int head_dim;
  int tokens;
  index_t row_bytes;

 private:
  unsigned char const* row(void const* pages, int i, int kv_head) const {
    auto const t = static_cast<index_t>(first_) + i;
    // A page's address is read as bytes, since its type is one of three.
    unsigned char const* page = nullptr;
    std::memcpy(&page,
                static_cast<char const*>(pages) + (kv_head * page_table_stride_ + (t >> page_shift_)) * static_cast<index_t>(sizeof page),
                sizeof page);
    return page + (t & ((index_t{1} << page_shift_) - 1)) * row_bytes;
  }

  void const* keys_;
  void const* values_;
  index_t page_table_stride_;
  int page_shift_;
  int first_;
};

/// A prefill_job over a stored_kv.
struct stored_prefill_job {
  tensor_view<float const, 3> q;
  stored_kv kv;
  line_plan_view const* plan;
  slash_kernels slashes;  ///< of the element type, so that only types in use are compiled; empty without a plan
  int window;
  tensor_view<float, 3> out;
};

}  // namespace loopserve::detail
