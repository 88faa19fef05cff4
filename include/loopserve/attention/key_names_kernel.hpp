// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/attention/query_tile_kernel.hpp>
#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/load_whole.hpp>

namespace loopserve::detail {

/// A tile of up to Keys keys, in shared memory: where they lie. Prefill attention on a device runs through such tiles, whatever names the keys; who attends to
/// them, the two kinds below say.
template <class Element, int Keys>
struct key_names {
  using element_type = Element;
  static constexpr int size = Keys;

  Element const* keys[Keys];  ///< where there are no more, the last one again, to which nobody attends
  Element const* values[Keys];
  int count;  ///< not positive: the tile before was the last
};

/// What of a tile of keys some rows attend to.
struct tile_cells {
  bool all;         ///< every cell
  unsigned blocks;  ///< bit i: any cell of keys [16 * i, 16 * i + 16)
};

/// Neighbouring keys, to which all attend that stand at them or behind: then a comparison says who does, and whole tiles cost nothing.
template <class Element, int Keys>
struct causal_names : key_names<Element, Keys> {
  int first, end, step;  ///< rows [first, end) attend to key 0, [first + step * k, end + step * k) to key k

  template <int Threads>
  LOOPSERVE_DEVICE void set_rows(row_span const& rows, int first_key) {
    if (dev::thread() != 0) { return; }
    first = rows.first_row_at(first_key);
    end = rows.window > 0 ? rows.first_row_at(first_key + rows.window) : 1 << 30;
    step = rows.group;
  }

  /// Bit i is set where row + i attends to the key, i < 32.
  LOOPSERVE_DEVICE std::uint32_t attending(int key, int row) const {
    return static_cast<std::uint32_t>(bits_from(first + key * step - row) & ~bits_from(end + key * step - row));
  }

  /// Of rows [row, row + Rows).
  template <int Rows>
  LOOPSERVE_DEVICE tile_cells cells(int row) const {
    tile_cells its{first + (Keys - 1) * step <= row && end >= row + Rows, 0};
    for (int i = 0; i < Keys / 16; ++i) {
      its.blocks |= first + 16 * i * step < row + Rows && end + (16 * i + 15) * step > row ? 1U << i : 0;
    }
    return its;
  }
};

/// Any keys, each with the rows that attend to it, of 64 * Words.
template <class Element, int Keys, int Words>
struct line_names : key_names<Element, Keys> {
  std::uint64_t rows[Words][Keys];  ///< bit i: row 64 * word + i attends to the key

  LOOPSERVE_DEVICE void set(int slot, kv_view<Element> const& kv, int kv_head, int key) {
    this->keys[slot] = dev::key(kv, key, kv_head);
    this->values[slot] = dev::value(kv, key, kv_head);
  }
  LOOPSERVE_DEVICE void repeat(int last, int slot) {
    this->keys[slot] = this->keys[last];
    this->values[slot] = this->values[last];
    for (int word = 0; word < Words; ++word) { rows[word][slot] = 0; }
  }
  template <int Threads>
  LOOPSERVE_DEVICE void set_rows(row_span const& span, int first_key) {
    for (int i = dev::thread(); i < Words * Keys; i += Threads) {
      int const word = i / Keys, slot = i % Keys;
      rows[word][slot] = 64 * word < span.count ? span.part(64 * word).seeing(first_key + slot) : 0;
    }
  }

  /// Bit i is set where row + i attends to the key, i < 32, up to the word's end.
  LOOPSERVE_DEVICE std::uint32_t attending(int key, int row) const {
    return static_cast<std::uint32_t>(rows[Words == 1 ? 0 : row / 64][key] >> row % 64);
  }

  /// Of rows [row, row + Rows). All lanes of the warp come here.
  template <int Rows>
  LOOPSERVE_DEVICE tile_cells cells(int row) const {
    static_assert(Keys == 64 && Rows <= 32);
    constexpr std::uint32_t every = ~std::uint32_t{0} >> (32 - Rows);
    std::uint32_t const low = attending(dev::lane(), row) & every, high = attending(dev::lane() + 32, row) & every;
    std::uint32_t const any_low = dev::ballot(low != 0), any_high = dev::ballot(high != 0);
    tile_cells its{dev::ballot((low & high) == every) == 0xffffffff, 0};
    its.blocks |= (any_low & 0xffff) != 0 ? 1 : 0;
    its.blocks |= any_low >> 16 != 0 ? 2 : 0;
    its.blocks |= (any_high & 0xffff) != 0 ? 4 : 0;
    its.blocks |= any_high >> 16 != 0 ? 8 : 0;
    return its;
  }
};

/// Names all keys that a tile of rows sees, ascending, in tiles that begin at multiples of their size: so a row's bits do not depend on the rows beside it.
///
/// Who names keys lies in shared memory, the view in global memory, and both are read each time: in registers they would cost every warp, all the time.
template <class Names>
class causal_keys {
 public:
  using names = Names;
  using element_type = typename Names::element_type;

  LOOPSERVE_DEVICE causal_keys(kv_view<element_type> const* kv, int kv_head, row_span rows)
      : kv_(kv), rows_(rows), kv_head_(kv_head), first_(rows.first_key() - rows.first_key() % Names::size), end_(rows.end_key()) {}

  /// Tile t, by all threads of the block.
  template <int Threads>
  LOOPSERVE_DEVICE void name(int t, Names& to) const {
    int const first = first_ + t * Names::size, left = end_ - first;
    if (dev::thread() == 0) { to.count = left; }
    if (left <= 0) { return; }
    auto const kv = dev::load_whole(kv_);
    for (int i = dev::thread(); i < 2 * Names::size; i += Threads) {
      bool const is_key = i < Names::size;
      int const slot = is_key ? i : i - Names::size, key = first + (slot < left ? slot : left - 1);
      (is_key ? to.keys : to.values)[slot] = dev::row_of(kv, is_key ? kv.key_pages : kv.value_pages, key, kv_head_);
    }
    to.template set_rows<Threads>(rows_, first);
  }

 private:
  kv_view<element_type> const* kv_;
  row_span rows_;
  int kv_head_, first_, end_;
};

}  // namespace loopserve::detail
