// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/core/read_ahead.hpp>
#include <loopserve/ops/kept_rows_view.hpp>
#include <loopserve/ops/lanes.hpp>

namespace loopserve {

/// A compact copy of some rows of a kv_view, and which ones it holds. All arrays lie in the backend's memory.
template <class Element>
struct gathered_rows_view {
  index_t capacity = 0;       ///< slots of a KV head
  Element* keys = nullptr;    ///< (kv_heads, capacity, head_dim)
  Element* values = nullptr;  ///< (kv_heads, capacity, head_dim)
  int* positions = nullptr;   ///< (kv_heads, capacity): absolute position of the token in a slot
  int* tokens = nullptr;      ///< (kv_heads, capacity): tokens held, ascending, as the source counts them
  int* slots = nullptr;       ///< (kv_heads, capacity): the slot of each of `tokens`
  int* counts = nullptr;      ///< (kv_heads): slots in use, always the first ones
  int* copied = nullptr;      ///< (kv_heads): each call adds the rows that it copies
};

/// Makes `to` hold exactly the rows `keep` of `full`. A row that is held already stays in its slot; the slots of rows that go are refilled in ascending
/// order by the rows that come, so a small change copies little. The slots are a function of the sequence of calls alone.
template <class Element>
void gather_rows(reference const& b, kv_view<Element> full, kept_rows_view keep, gathered_rows_view<Element> to) {
  int most = 0;
  for (int h = 0; h < keep.kv_heads; ++h) { most = std::max(most, keep.counts[h]); }
  parallel_for(threads_for(b, index_t{most} * full.head_dim), keep.kv_heads, [&](index_t head) {
    auto const h = static_cast<int>(head);
    int const* const rows = keep.rows + h * keep.stride;
    int const count = keep.counts[h];
    int* const tokens = to.tokens + h * to.capacity;
    int* const slots = to.slots + h * to.capacity;
    std::vector<char> taken(static_cast<std::size_t>(count), 0);
    std::vector<int> place(static_cast<std::size_t>(count), -1);
    for (int i = 0, o = 0; i < count && o < to.counts[h];) {
      if (rows[i] != tokens[o]) {
        rows[i] < tokens[o] ? ++i : ++o;
        continue;
      }
      if (slots[o] < count) {  // a slot behind the new end moves like a row that comes
        place[static_cast<std::size_t>(i)] = slots[o];
        taken[static_cast<std::size_t>(slots[o])] = 1;
      }
      ++i;
      ++o;
    }
    // Rows that come lie anywhere in memory: all are asked for before the first is copied.
    std::vector<int> coming;
    index_t const row_bytes = index_t{full.head_dim} * static_cast<index_t>(sizeof(Element));
    Element* const keys = to.keys + h * to.capacity * full.head_dim;
    Element* const values = to.values + h * to.capacity * full.head_dim;
    for (int i = 0, slot = 0; i < count; ++i) {
      int& at = place[static_cast<std::size_t>(i)];
      if (at < 0) {
        while (taken[static_cast<std::size_t>(slot)] != 0) { ++slot; }
        at = slot++;
        coming.push_back(i);
        detail::read_ahead(full.key(rows[i], h), row_bytes);
        detail::read_ahead(full.value(rows[i], h), row_bytes);
        detail::write_ahead(keys + index_t{at} * full.head_dim, row_bytes);
        detail::write_ahead(values + index_t{at} * full.head_dim, row_bytes);
      }
      tokens[i] = rows[i];
      slots[i] = at;
    }
    for (int i : coming) {
      std::copy_n(full.key(rows[i], h), full.head_dim, keys + index_t{slots[i]} * full.head_dim);
      std::copy_n(full.value(rows[i], h), full.head_dim, values + index_t{slots[i]} * full.head_dim);
      to.positions[h * to.capacity + slots[i]] = full.position(rows[i], h);
    }
    to.counts[h] = count;
    to.copied[h] += static_cast<int>(coming.size());
  });
}

}  // namespace loopserve
