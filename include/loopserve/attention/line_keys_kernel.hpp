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
template <class Element, int Keys, int Words>
class line_keys {
 public:
  using names = line_names<Element, Keys, Words>;

  LOOPSERVE_DEVICE line_keys(kv_view<Element> const* kv, int kv_head, row_span rows, line_bits bits)
      : kv_(kv), rows_(rows), bits_(bits), kv_head_(kv_head), next_word_(bits.first_word(rows)) {}

  /// The next tile, by the block's first warp, all of whose lanes come here; nothing by others.
  template <int Threads>
  LOOPSERVE_DEVICE void name(int /*t*/, names& to) {
    if (dev::warp() != 0) { return; }
    auto const kv = dev::load_whole(kv_);
    int filled = 0, taken = taken_, next_word = next_word_;
    while (filled < Keys && (taken < found() || next_word < bits_.end_word(rows_))) {
      if (taken == found()) {
        look(next_word);
        taken = 0;
        next_word += 32;
      }
      int const count = found() - taken < Keys - filled ? found() - taken : Keys - filled;
      for (int i = dev::lane(); i < count; i += 32) {
        int const key = key_at(taken + i, next_word - 32);
        to.set(filled + i, kv, kv_head_, key);
        for (int part = 0; part < Words; ++part) {
          to.rows[part][filled + i] = 64 * part < rows_.count ? bits_.attending(rows_.part(64 * part), key) : 0;
        }
      }
      taken += count;
      filled += count;
    }
    dev::warp_barrier();
    for (int slot = filled + dev::lane(); slot < Keys && filled > 0; slot += 32) { to.repeat(filled - 1, slot); }
    if (dev::lane() == 0) { to.count = filled, taken_ = taken, next_word_ = next_word; }
  }

 private:
  // The 32 words from `first` on.
  LOOPSERVE_DEVICE void look(int first) {
    dev::warp_barrier();  // others may still read what was found last
    int const word = first + dev::lane();
    auto const kept = word < bits_.end_word(rows_) ? bits_.kept(rows_, word) : 0;
    int up_to = dev::popcount(kept);
    for (int by = 1; by < 32; by *= 2) {
      int const lower = dev::shuffle_up(up_to, by);
      up_to += dev::lane() >= by ? lower : 0;
    }
    words_[dev::lane()] = kept;
    up_to_[dev::lane()] = up_to;
    dev::warp_barrier();
  }

  LOOPSERVE_DEVICE int found() const { return up_to_[31]; }

  // The i-th of the keys in the words from `first` on.
  LOOPSERVE_DEVICE int key_at(int i, int first) const {
    int holder = 0;
    for (int step = 16; step > 0; step /= 2) {
      if (up_to_[holder + step - 1] <= i) { holder += step; }
    }
    auto const word = words_[holder];
    int const before = up_to_[holder] - dev::popcount(word);
    return bits_.keys - 1 - 64 * (first + holder) - place_of_bit(word, i - before);
  }

  kv_view<Element> const* kv_;
  row_span rows_;
  line_bits bits_;
  int kv_head_, next_word_;
  int taken_ = 0;               // of the keys in the words that were looked at last
  std::uint64_t words_[32] = {};
  int up_to_[32] = {};          // keys in the words up to this one
};

/// Names what a head attends to, by its lines or densely.
template <class Element, int Keys, int Words>
class planned_keys {
 public:
  using names = line_names<Element, Keys, Words>;

  /// `kv`: the record's view where it lies in global memory.
  LOOPSERVE_DEVICE planned_keys(planned_record<Element> const& record, kv_view<Element> const* kv, int head, int kv_head, row_span rows)
      : dense_(attends_densely(record, head)), all_(kv, kv_head, rows), lines_(kv, kv_head, rows, line_bits_of(record, head)) {}

  template <int Threads>
  LOOPSERVE_DEVICE void name(int t, names& to) {
    if (dense_) {
      all_.template name<Threads>(t, to);
    } else {
      lines_.template name<Threads>(t, to);
    }
  }

 private:
  bool dense_;
  causal_keys<names> all_;
  line_keys<Element, Keys, Words> lines_;
};

}  // namespace loopserve::detail
