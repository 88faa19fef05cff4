// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <loopserve/core/kv_view.hpp>
#include <loopserve/testing/host_kv.hpp>

#include "device_test.hpp"

namespace loopserve::device_test {

/// The rows of a host_kv in the device's memory: in one page, or in pages of 2^page_shift tokens that lie in descending order.
template <class Element, class B>
class kv_on_device {
 public:
  kv_on_device(B const& b, testing::host_kv<Element>& from, int page_shift = 30) : view_(from.view()) {
    auto const host = from.view();
    bool const paged = page_shift < 30;
    int const pages = paged ? ((host.tokens - 1) >> page_shift) + 1 : 1;
    index_t const page_rows = paged ? index_t{1} << page_shift : host.tokens;
    std::vector<Element const*> table;
    std::vector<Element> rows(static_cast<std::size_t>(2 * host.kv_heads * pages * page_rows * host.head_dim));
    for (int part = 0; part < 2; ++part) {
      for (int h = 0; h < host.kv_heads; ++h) {
        for (int p = 0; p < pages; ++p) {
          starts_.push_back(((index_t{part} * host.kv_heads + h) * pages + pages - 1 - p) * page_rows * host.head_dim);
        }
        for (int i = 0; i < host.tokens; ++i) {
          auto const start = starts_[static_cast<std::size_t>((part * host.kv_heads + h) * pages + i / page_rows)];
          auto const* const row = part == 0 ? host.key(i, h) : host.value(i, h);
          for (int c = 0; c < host.head_dim; ++c) { rows[static_cast<std::size_t>(start + i % page_rows * host.head_dim + c)] = row[c]; }
        }
      }
    }
    rows_ = on_device(b, rows);
    for (auto const start : starts_) { table.push_back(rows_.data() + start); }
    table_ = on_device(b, table);
    view_.key_pages = table_.data();
    view_.value_pages = table_.data() + index_t{host.kv_heads} * pages;
    view_.page_table_stride = pages;
    view_.page_shift = page_shift;
    view_.row_stride = host.head_dim;
  }

  kv_view<Element> view() const { return view_; }

 private:
  std::vector<index_t> starts_;
  typename B::template buffer<Element> rows_;
  typename B::template buffer<Element const*> table_;
  kv_view<Element> view_;
};

template <class Element, class B>
kv_on_device<Element, B> kv_of(B const& b, testing::host_kv<Element>& from, int page_shift = 30) {
  return {b, from, page_shift};
}

}  // namespace loopserve::device_test
