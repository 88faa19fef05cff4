// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include <loopserve/core/kv_view.hpp>

#include "device_test.hpp"

namespace loopserve::device_test {

/// A copy of a view of host memory in the device's memory, in the same layout: the same pages of the same rows, each head's for itself.
template <class B, class Element>
class device_kv {
 public:
  device_kv(B const& b, kv_view<Element> host) : view_(host) {
    if (host.tokens == 0) { return; }
    index_t const page_tokens = index_t{1} << host.page_shift, stored = index_t{host.first} + host.tokens;
    index_t const pages = (stored + page_tokens - 1) / page_tokens, page = (std::min(stored, page_tokens) * host.row_stride + 63) / 64 * 64;
    view_.page_table_stride = pages;
    for (auto const part : {0, 1}) {
      auto const* const* const table = part == 0 ? host.key_pages : host.value_pages;
      auto& memory = part == 0 ? keys_ : values_;
      memory = b.template make_buffer<Element>(host.kv_heads * pages * page);
      std::vector<Element const*> addresses;
      for (int h = 0; h < host.kv_heads; ++h) {
        for (index_t p = 0; p < pages; ++p) {
          auto* const to = memory.data() + (h * pages + p) * page;
          index_t const rows = std::min(page_tokens, stored - p * page_tokens);
          b.copy_to_device(to, table[h * host.page_table_stride + p],
                           ((rows - 1) * host.row_stride + host.head_dim) * static_cast<index_t>(sizeof(Element)));
          addresses.push_back(to);
        }
      }
      (part == 0 ? key_table_ : value_table_) = on_device(b, addresses);
    }
    view_.key_pages = key_table_.data();
    view_.value_pages = value_table_.data();
    if (host.lengths != nullptr) {
      lengths_ = on_device(b, std::vector<int>(host.lengths, host.lengths + host.kv_heads));
      view_.lengths = lengths_.data();
    }
    if (host.positions != nullptr) {
      positions_ = on_device(b, std::vector<int>(host.positions, host.positions + host.kv_heads * host.positions_stride));
      view_.positions = positions_.data();
    }
  }

  kv_view<Element> const& view() const { return view_; }

 private:
  template <class T>
  using buffer = typename B::template buffer<T>;

  kv_view<Element> view_;
  buffer<Element> keys_, values_;
  buffer<Element const*> key_table_, value_table_;
  buffer<int> lengths_, positions_;
};

}  // namespace loopserve::device_test
