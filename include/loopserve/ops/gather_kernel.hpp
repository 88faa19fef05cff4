// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/scan.hpp>
#include <loopserve/ops/gather.hpp>
#include <loopserve/ops/kept_rows_view.hpp>

namespace loopserve {

/// Which rows come and which slots they take. All arrays are (kv_heads, capacity).
struct gather_plan {
  int* place;   ///< the slot that the i-th kept row is held in already, or -1
  int* taken;   ///< whether a slot stays as it is
  int* coming;  ///< the kept rows that are not held, ascending: their numbers in the list
  int* vacant;  ///< the slots that are refilled, ascending
  int* come;    ///< (kv_heads): how many
};

/// A block a KV head: decides the slots and writes the new lists.
template <class Element>
struct plan_gather_kernel {
  static constexpr int threads = 1024;
  using shared_layout = dev::scan_scratch<int>;

  kept_rows_view keep;
  gathered_rows_view<Element> to;
  gather_plan plan;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const h = block.x;
    index_t const at = h * to.capacity;
    int const* const rows = keep.rows + h * keep.stride;
    int const count = dev::load(keep.counts + h), held = dev::load(to.counts + h);
    for (int i = dev::thread(); i < count; i += threads) { dev::store(plan.taken + at + i, 0); }
    dev::barrier();
    for (int i = dev::thread(); i < count; i += threads) {
      int const o = find(to.tokens + at, held, dev::load(rows + i));
      int const slot = o < 0 ? -1 : dev::load(to.slots + at + o);
      bool const stays = slot >= 0 && slot < count;  // a slot behind the new end moves like a row that comes
      dev::store(plan.place + at + i, stays ? slot : -1);
      if (stays) { dev::store(plan.taken + at + slot, 1); }
    }
    dev::barrier();
    int const come = list(plan.coming + at, count, [&](int i) { return dev::load(plan.place + at + i) < 0; });
    list(plan.vacant + at, count, [&](int i) { return dev::load(plan.taken + at + i) == 0; });
    for (int i = dev::thread(); i < count; i += threads) {
      dev::store(to.tokens + at + i, dev::load(rows + i));
      dev::store(to.slots + at + i, dev::load(plan.place + at + i));
    }
    dev::barrier();
    for (int j = dev::thread(); j < come; j += threads) {
      dev::store(to.slots + at + dev::load(plan.coming + at + j), dev::load(plan.vacant + at + j));
    }
    if (dev::thread() == 0) {
      dev::store(to.counts + h, count);
      dev::store(plan.come + h, come);
      dev::store(to.copied + h, dev::load(to.copied + h) + come);
    }
  }

 private:
  /// Where `token` stands in the ascending list; -1 where it does not.
  LOOPSERVE_DEVICE static int find(int const* tokens, int count, int token) {
    int low = 0, high = count;
    while (low < high) {
      int const middle = (low + high) / 2;
      if (dev::load(tokens + middle) < token) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < count && dev::load(tokens + low) == token ? low : -1;
  }

  /// Writes the numbers in [0, count) that `wanted` names, ascending; how many there are.
  template <class Wanted>
  LOOPSERVE_DEVICE static int list(int* out, int count, Wanted wanted) {
    int found = 0;
    for (int first = 0; first < count; first += threads) {
      int const i = first + dev::thread();
      bool const yes = i < count && wanted(i);
      auto const rank = dev::block_scan(yes ? 1 : 0, dev::shared<shared_layout>());
      if (yes) { dev::store(out + found + rank.before, i); }
      found += rank.total;
    }
    return found;
  }
};

/// Block (c, h): the c-th `rows_per_block` rows that come to KV head h, a warp a row.
template <class Element>
struct copy_gathered_kernel {
  static constexpr int threads = 256;
  static constexpr int rows_per_block = threads / 32;

  kv_view<Element> full;
  gathered_rows_view<Element> to;
  gather_plan plan;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const h = block.y, j = block.x * rows_per_block + dev::warp();
    index_t const at = h * to.capacity;
    if (j >= dev::load(plan.come + h)) { return; }
    index_t const slot = at + dev::load(plan.vacant + at + j);
    int const row = dev::load(to.tokens + at + dev::load(plan.coming + at + j));
    copy_row(dev::key(full, row, h), to.keys + slot * full.head_dim);
    copy_row(dev::value(full, row, h), to.values + slot * full.head_dim);
    if (dev::lane() == 0) { dev::store(to.positions + slot, dev::position(full, row, h)); }
  }

 private:
  /// 16 bytes a lane where both addresses and the row allow it.
  LOOPSERVE_DEVICE void copy_row(Element const* from, Element* out) const {
    constexpr int wide = 16 / static_cast<int>(sizeof(Element));
    auto const bits = reinterpret_cast<std::uintptr_t>(from) | reinterpret_cast<std::uintptr_t>(out);
    if (bits % 16 == 0 && full.head_dim % wide == 0) {
      for (int c = dev::lane() * wide; c < full.head_dim; c += 32 * wide) { dev::store_vec<wide>(out + c, dev::load_vec<wide>(from + c)); }
    } else {
      for (int c = dev::lane(); c < full.head_dim; c += 32) { dev::store(out + c, dev::load(from + c)); }
    }
  }
};

}  // namespace loopserve
