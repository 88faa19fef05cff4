// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/attention/key_names_kernel.hpp>
#include <loopserve/attention/line_bits_kernel.hpp>

namespace loopserve::detail {

/// The place of the n-th set bit, counted from 0; there are more than n.
LOOPSERVE_DEVICE inline int place_of_bit(std::uint64_t bits, int n) {
  int place = 0;
  for (int half = 32; half > 0; half /= 2) {
    int const below = dev::popcount(bits & ((std::uint64_t{1} << half) - 1));
    if (n >= below) {
      n -= below;
      bits >>= half;
      place += half;
    }
  }
  return place;
}

/// Names the keys that any row of a tile attends to by a head's lines, the last first, each once: what slashes cover, as ranges that are merged where they touch,
/// and verticals between them, packed into full tiles. The block's first warp looks at 2048 keys at a time, a word of the index a lane.
template <class Element, int Keys>
class line_keys {
 public:
  LOOPSERVE_DEVICE line_keys(kv_view<Element> const* kv, int kv_head, row_span rows, line_bits bits)
      : kv_(kv), rows_(rows), bits_(bits), kv_head_(kv_head), next_word_(bits.first_word(rows)) {}

  /// The next tile, by the block's first warp, all of whose lanes come here; nothing by others.
  LOOPSERVE_DEVICE void name(key_names<Element, Keys>& to) {
    if (dev::warp() != 0) { return; }
    auto const kv = dev::load_whole(kv_);
    int filled = 0;
    while (filled < Keys && (taken_ < found_ || next_word_ < bits_.end_word(rows_))) {
      if (taken_ == found_) { look(); }
      int const count = found_ - taken_ < Keys - filled ? found_ - taken_ : Keys - filled;
      for (int first = 0; first < count; first += 32) {
        int const i = first + dev::lane(), key = key_at(taken_ + (i < count ? i : 0));
        if (i < count) { to.set(filled + i, kv, kv_head_, key, bits_.attending(rows_, key)); }
      }
      taken_ += count;
      filled += count;
    }
    for (int slot = filled + dev::lane(); slot < Keys; slot += 32) { to.clear(slot); }
    if (dev::lane() == 0) { to.count = filled; }
  }

 private:
  // The next 32 words.
  LOOPSERVE_DEVICE void look() {
    int const word = next_word_ + dev::lane();
    word_ = word < bits_.end_word(rows_) ? bits_.kept(rows_, word) : 0;
    up_to_ = dev::popcount(word_);
    for (int by = 1; by < 32; by *= 2) {
      int const lower = dev::shuffle_up(up_to_, by);
      up_to_ += dev::lane() >= by ? lower : 0;
    }
    found_ = dev::shuffle(up_to_, 31);
    taken_ = 0;
    next_word_ += 32;
  }

  // The i-th of these words' keys, for each lane its own i.
  LOOPSERVE_DEVICE int key_at(int i) const {
    int holder = 0;
    for (int step = 16; step > 0; step /= 2) {
      if (dev::shuffle(up_to_, holder + step - 1) <= i) { holder += step; }
    }
    auto const word = dev::shuffle(word_, holder);
    int const before = dev::shuffle(up_to_, holder) - dev::popcount(word);
    return bits_.keys - 1 - 64 * (next_word_ - 32 + holder) - place_of_bit(word, i - before);
  }

  kv_view<Element> const* kv_;
  row_span rows_;
  line_bits bits_;
  int kv_head_, next_word_;
  int found_ = 0, taken_ = 0;  // of the keys in the words that were looked at last
  std::uint64_t word_ = 0;     // the lane's
  int up_to_ = 0;              // keys in the words of the lanes up to this one
};

/// Names what a head attends to, by its lines or densely.
template <class Element, int Keys>
class planned_keys {
 public:
  /// `kv`: the record's view where it lies in global memory.
  LOOPSERVE_DEVICE planned_keys(planned_record<Element> const& record, kv_view<Element> const* kv, int head, int kv_head, row_span rows)
      : dense_(attends_densely(record, head)), all_(kv, kv_head, rows), lines_(kv, kv_head, rows, line_bits_of(record, head)) {}

  LOOPSERVE_DEVICE void name(key_names<Element, Keys>& to) {
    if (dense_) {
      all_.name(to);
    } else {
      lines_.name(to);
    }
  }

 private:
  bool dense_;
  causal_keys<Element, Keys> all_;
  line_keys<Element, Keys> lines_;
};

}  // namespace loopserve::detail
