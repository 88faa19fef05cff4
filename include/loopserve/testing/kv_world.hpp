// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include <loopserve/core/element.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/rng.hpp>

namespace loopserve::testing {

/// How a test's keys and values lie in memory: (tokens, kv_heads, head_dim), (kv_heads, tokens, head_dim), or pages of 64 tokens in scrambled order.
enum class kv_layout { token_major, head_major, paged };

/// Keys and values made of random numbers in one of the layouts, behind a view that starts inside its storage. Whatever the view must not touch is NaN.
template <class Element>
class kv_world {
 public:
  kv_world(int tokens, int kv_heads, int head_dim, kv_layout layout, std::uint64_t seed) {
    int const skipped = layout == kv_layout::head_major ? 0 : 5;
    int const stored = tokens + skipped;
    int const page = layout == kv_layout::paged ? 64 : stored;
    int const pages = (stored + page - 1) / page;
    view_.row_stride = layout == kv_layout::token_major ? kv_heads * head_dim : head_dim;
    index_t const page_size = layout == kv_layout::token_major ? view_.row_stride * page : static_cast<index_t>(page) * head_dim;
    index_t const blocks = layout == kv_layout::token_major ? 1 : static_cast<index_t>(pages) * kv_heads;
    Element const nan(std::numeric_limits<float>::quiet_NaN());
    keys_.assign(static_cast<std::size_t>(blocks * page_size), nan);
    values_ = keys_;
    for (int h = 0; h < kv_heads; ++h) {
      for (int p = 0; p < pages; ++p) {
        // 7 is prime to every count below that is no multiple of it; where it is not, the identity serves.
        index_t const block = h * pages + p;
        index_t const scrambled = blocks % 7 != 0 ? (block * 7 + 3) % blocks : block;
        index_t const offset = layout == kv_layout::token_major ? index_t{h} * head_dim : scrambled * page_size;
        key_pages_.push_back(keys_.data() + offset);
        value_pages_.push_back(values_.data() + offset);
      }
    }
    view_.key_pages = key_pages_.data();
    view_.value_pages = value_pages_.data();
    view_.page_table_stride = pages;
    view_.page_shift = layout == kv_layout::paged ? 6 : 30;
    view_.kv_heads = kv_heads;
    view_.head_dim = head_dim;
    view_.tokens = tokens;
    view_.first = skipped;
    counter_rng const random{seed, 77};
    std::uint64_t n = 0;
    for (int h = 0; h < kv_heads; ++h) {
      for (int i = 0; i < tokens; ++i) {
        for (int d = 0; d < head_dim; ++d) {
          const_cast<Element*>(view_.key(i, h))[d] = Element(static_cast<float>(3 * random.uniform(n) - 1.5));
          const_cast<Element*>(view_.value(i, h))[d] = Element(static_cast<float>(2 * random.uniform(n + 1) - 1));
          n += 2;
        }
      }
    }
  }

  kv_view<Element>& view() { return view_; }
  kv_view<Element> const& view() const { return view_; }

 private:
  std::vector<Element> keys_, values_;
  std::vector<Element const*> key_pages_, value_pages_;
  kv_view<Element> view_;
};

}  // namespace loopserve::testing
