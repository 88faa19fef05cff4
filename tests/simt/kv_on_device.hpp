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
    for (int part = 0; part < 2; ++part) {
      std::vector<index_t> starts;
      std::vector<Element> rows(static_cast<std::size_t>(host.kv_heads * pages * page_rows * host.head_dim));
      for (int h = 0; h < host.kv_heads; ++h) {
        for (int p = 0; p < pages; ++p) { starts.push_back((index_t{h} * pages + pages - 1 - p) * page_rows * host.head_dim); }
        for (int i = 0; i < host.tokens; ++i) {
          auto const start = starts[static_cast<std::size_t>(h * pages + i / page_rows)];
          auto const* const row = part == 0 ? host.key(i, h) : host.value(i, h);
          for (int c = 0; c < host.head_dim; ++c) { rows[static_cast<std::size_t>(start + i % page_rows * host.head_dim + c)] = row[c]; }
        }
      }
      rows_[part] = on_device(b, rows);
      std::vector<Element const*> table;
      for (auto const start : starts) { table.push_back(rows_[part].data() + start); }
      tables_[part] = on_device(b, table);
    }
    view_.key_pages = tables_[0].data();
    view_.value_pages = tables_[1].data();
    view_.page_table_stride = pages;
    view_.page_shift = page_shift;
    view_.row_stride = host.head_dim;
  }

  kv_view<Element> view() const { return view_; }

 private:
  // Keys and values each for themselves, so that who goes past the last key's row or page touches what is not allocated.
  typename B::template buffer<Element> rows_[2];
  typename B::template buffer<Element const*> tables_[2];
  kv_view<Element> view_;
};

template <class Element, class B>
kv_on_device<Element, B> kv_of(B const& b, testing::host_kv<Element>& from, int page_shift = 30) {
  return {b, from, page_shift};
}

}  // namespace loopserve::device_test
