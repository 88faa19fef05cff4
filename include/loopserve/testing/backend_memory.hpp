// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/ops/copy.hpp>

/// Laws make their numbers in the host's memory and look at results there; operations read and write the backend's, which the host may not be able to touch.
/// Whatever passes between the two passes through here, on every backend.
namespace loopserve::testing {

/// A copy of the host's numbers in the backend's memory.
template <class Backend, class T>
typename Backend::template buffer<T> uploaded(Backend& b, std::vector<T> const& from) {
  auto to = b.template make_buffer<T>(static_cast<index_t>(from.size()));
  upload(b, from.data(), static_cast<index_t>(from.size()), to.data());
  return to;
}

/// A copy of `count` numbers of the backend's memory.
template <class Backend, class T>
std::vector<std::remove_const_t<T>> downloaded(Backend& b, T* from, index_t count) {
  std::vector<std::remove_const_t<T>> to(static_cast<std::size_t>(count));
  if (count > 0) { download(b, static_cast<T const*>(from), count, to.data()); }
  return to;
}

/// A copy of the host's keys and values in the backend's memory, in the same layout: the same pages of the same rows, each KV head's for itself.
template <class Backend, class Element>
class uploaded_kv {
 public:
  uploaded_kv(Backend& b, kv_view<Element> host) : view_(host) {
    if (host.tokens == 0) { return; }
    index_t const page_tokens = index_t{1} << host.page_shift, stored = index_t{host.first} + host.tokens;
    index_t const pages = (stored + page_tokens - 1) / page_tokens, page = (std::min(stored, page_tokens) * host.row_stride + 63) / 64 * 64;
    for (bool const is_key : {true, false}) {
      auto const* const* const table = is_key ? host.key_pages : host.value_pages;
      auto& memory = is_key ? keys_ : values_;
      memory = b.template make_buffer<Element>(host.kv_heads * pages * page);
      std::vector<Element const*> addresses;
      for (int h = 0; h < host.kv_heads; ++h) {
        for (index_t p = 0; p < pages; ++p) {
          auto* const to = memory.data() + (h * pages + p) * page;
          index_t const rows = std::min(page_tokens, stored - p * page_tokens);
          upload(b, table[h * host.page_table_stride + p], (rows - 1) * host.row_stride + host.head_dim, to);
          addresses.push_back(to);
        }
      }
      (is_key ? key_table_ : value_table_) = uploaded(b, addresses);
    }
    view_.key_pages = key_table_.data();
    view_.value_pages = value_table_.data();
    view_.page_table_stride = pages;
    if (host.lengths != nullptr) {
      lengths_ = uploaded(b, std::vector<int>(host.lengths, host.lengths + host.kv_heads));
      view_.lengths = lengths_.data();
    }
    if (host.positions != nullptr) {
      positions_ = uploaded(b, std::vector<int>(host.positions, host.positions + host.kv_heads * host.positions_stride));
      view_.positions = positions_.data();
    }
  }

  kv_view<Element> const& view() const { return view_; }

 private:
  template <class T>
  using buffer = typename Backend::template buffer<T>;

  kv_view<Element> view_;
  buffer<Element> keys_, values_;
  buffer<Element const*> key_table_, value_table_;
  buffer<int> lengths_, positions_;
};

/// Where the pages of a view of the backend's memory lie: keys, then values, (kv_heads, pages). The addresses are the backend's.
template <class Backend, class Element>
std::vector<Element const*> page_addresses(Backend& b, kv_view<Element> kv) {
  index_t const pages = kv.tokens == 0 ? 0 : ((index_t{kv.first} + kv.tokens - 1) >> kv.page_shift) + 1;
  std::vector<Element const*> all;
  for (bool const is_key : {true, false}) {
    auto const* const* const table = is_key ? kv.key_pages : kv.value_pages;
    for (int h = 0; h < kv.kv_heads; ++h) {
      auto const row = downloaded(b, table + h * kv.page_table_stride, pages);
      all.insert(all.end(), row.begin(), row.end());
    }
  }
  return all;
}

/// A copy of the rows of a view of the backend's memory as the host reads them, under their positions.
template <class Backend, class Element>
class downloaded_kv {
 public:
  downloaded_kv(Backend& b, kv_view<Element> there) : view_(there) {
    if (there.lengths != nullptr) {
      lengths_ = downloaded(b, there.lengths, there.kv_heads);
      view_.lengths = there.lengths = lengths_.data();
    }
    auto const addresses = page_addresses(b, there);
    index_t const pages = static_cast<index_t>(addresses.size()) / std::max(1, 2 * there.kv_heads), stored = index_t{there.first} + there.tokens;
    rows_.resize(static_cast<std::size_t>(2 * there.kv_heads * stored * there.head_dim));
    for (index_t list = 0; list < 2 * index_t{there.kv_heads}; ++list) {  // each head's keys, then each head's values
      auto* const to = rows_.data() + list * stored * there.head_dim;
      table_.push_back(to);
      int const h = static_cast<int>(list % there.kv_heads);
      for (int i = 0, run = 0; i < there.length(h); i += run) {
        run = there.run(i, h);
        index_t const token = index_t{there.first} + i, page = index_t{1} << there.page_shift;
        auto const* const from = addresses[static_cast<std::size_t>(list * pages + token / page)] + token % page * there.row_stride;
        auto const block = downloaded(b, from, (run - 1) * there.row_stride + there.head_dim);
        for (index_t r = 0; r < run; ++r) { std::copy_n(block.data() + r * there.row_stride, there.head_dim, to + (token + r) * there.head_dim); }
      }
    }
    view_.key_pages = table_.data();
    view_.value_pages = table_.data() + there.kv_heads;
    view_.page_table_stride = 1;
    view_.page_shift = 30;
    view_.row_stride = there.head_dim;
    if (there.positions != nullptr) {
      positions_.resize(static_cast<std::size_t>(there.kv_heads * there.positions_stride));
      for (int h = 0; h < there.kv_heads; ++h) {
        auto const its = downloaded(b, there.positions + h * there.positions_stride, index_t{there.first} + there.length(h));
        std::copy(its.begin(), its.end(), positions_.begin() + h * there.positions_stride);
      }
      view_.positions = positions_.data();
    }
  }

  kv_view<Element> const& view() const { return view_; }

 private:
  kv_view<Element> view_;
  std::vector<Element> rows_;
  std::vector<Element const*> table_;
  std::vector<int> lengths_, positions_;
};

}  // namespace loopserve::testing
