// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/load_whole.hpp>

namespace loopserve::detail {

/// Bits n, n + 1, .. 63; all where n is not positive.
LOOPSERVE_HOST_DEVICE constexpr std::uint64_t bits_from(int n) { return n <= 0 ? ~std::uint64_t{0} : n >= 64 ? 0 : ~std::uint64_t{0} << n; }

/// A tile of query rows: row i of `count` <= 64 stands at `position` + i and sees the last `window` keys up to itself (0: all of them).
struct row_span {
  int position, count, window;

  LOOPSERVE_HOST_DEVICE constexpr int first_key() const { return window > 0 && position >= window ? position - window + 1 : 0; }
  LOOPSERVE_HOST_DEVICE constexpr int end_key() const { return position + count; }

  /// Bit i is set where the row at position + i may see key k.
  LOOPSERVE_HOST_DEVICE constexpr std::uint64_t seeing(int k) const {
    return bits_from(k - position) & (window > 0 ? ~bits_from(k - position + window) : ~std::uint64_t{0});
  }
};

/// A tile of up to Keys keys, in shared memory: where they lie, and who attends to them. Prefill attention on a device runs through such tiles, whatever names
/// the keys.
template <class Element, int Keys>
struct key_names {
  Element const* keys[Keys];  ///< null: there are no more
  Element const* values[Keys];
  std::uint64_t rows[Keys];  ///< bit i: row i of the query tile attends to the key
  int count;                 ///< 0: the tile before was the last

  LOOPSERVE_DEVICE void set(int slot, kv_view<Element> const& kv, int kv_head, int key, std::uint64_t attending) {
    keys[slot] = dev::key(kv, key, kv_head);
    values[slot] = dev::value(kv, key, kv_head);
    rows[slot] = attending;
  }
  LOOPSERVE_DEVICE void clear(int slot) {
    keys[slot] = values[slot] = nullptr;
    rows[slot] = 0;
  }
};

/// Names all keys that a tile of rows sees, ascending, in tiles that begin at multiples of Keys: so a row's bits do not depend on the rows beside it.
/// The view lies in global memory, from where the warp that names reads it each time: in registers it would cost every warp, all the time.
template <class Element, int Keys>
class causal_keys {
 public:
  LOOPSERVE_DEVICE causal_keys(kv_view<Element> const* kv, int kv_head, row_span rows)
      : kv_(kv), rows_(rows), kv_head_(kv_head), next_(rows.first_key() - rows.first_key() % Keys) {}

  /// The next tile, by the block's first warp, all of whose lanes come here; nothing by others.
  LOOPSERVE_DEVICE void name(key_names<Element, Keys>& to) {
    if (dev::warp() != 0) { return; }
    auto const kv = dev::load_whole(kv_);
    int const left = rows_.end_key() - next_, count = left < Keys ? left : Keys;
    for (int slot = dev::lane(); slot < Keys; slot += 32) {
      if (slot < count) {
        to.set(slot, kv, kv_head_, next_ + slot, rows_.seeing(next_ + slot));
      } else {
        to.clear(slot);
      }
    }
    if (dev::lane() == 0) { to.count = count; }
    next_ += count;
  }

 private:
  kv_view<Element> const* kv_;
  row_span rows_;
  int kv_head_, next_;
};

}  // namespace loopserve::detail
