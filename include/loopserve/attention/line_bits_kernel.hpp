// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/attention/query_tile_kernel.hpp>
#include <loopserve/dev/load_whole.hpp>

namespace loopserve {

namespace detail {

/// The index of one head's lines: a bit a key for its verticals, a bit an offset for its slashes. Keys are counted from the last one, `back` = keys - 1 - key,
/// so that for any row a slash's offset and `back` grow together, and 64 neighbouring keys' shares of 64 rows are read from two neighbouring words.
struct line_bits {
  std::uint64_t const* verticals;  ///< bit `back`
  std::uint64_t const* slashes;    ///< bit `offset`
  int keys;

  /// 64 bits from bit `at` on; those outside of [0, keys) are zero.
  LOOPSERVE_DEVICE static std::uint64_t bits_at(std::uint64_t const* words, int keys, int at) {
    int const word = at >> 6, by = at & 63, end = line_words(keys);
    std::uint64_t const low = word >= 0 && word < end ? dev::load(words + word) : 0;
    std::uint64_t const high = by > 0 && word + 1 >= 0 && word + 1 < end ? dev::load(words + word + 1) : 0;
    return by == 0 ? low : low >> by | high << (64 - by);
  }

  /// Bit j is set where any of the rows attends to the key at back = 64 * word + j.
  LOOPSERVE_DEVICE std::uint64_t kept(row_span const& rows, int word) const {
    std::uint64_t any = 0;
    for (int from = 0; from < rows.count; from += 64) { any |= kept_by_part(rows.part(from), word); }
    return any;
  }

  /// Bit i is set where row i of at most 64 attends to the key: a cell that both kinds of lines cover is one bit.
  LOOPSERVE_DEVICE std::uint64_t attending(row_span const& rows, int key) const {
    int const back = keys - 1 - key;
    bool const vertical = (dev::load(verticals + (back >> 6)) >> (back & 63) & 1) != 0;
    std::uint64_t const by_slashes = bits_at(slashes, keys, rows.position - key);  // read in any case, beside the verticals
    return (vertical ? ~std::uint64_t{0} : by_slashes) & rows.seeing(key);
  }

  /// The words that hold what the rows may see.
  LOOPSERVE_DEVICE int first_word(row_span const& rows) const { return (keys - rows.end_key()) >> 6; }
  LOOPSERVE_DEVICE int end_word(row_span const& rows) const { return ((keys - 1 - rows.first_key()) >> 6) + 1; }

 private:
  LOOPSERVE_DEVICE std::uint64_t kept_by_part(row_span const& rows, int word) const {
    int const first = 64 * word, own = keys - 1 - rows.position;  // `back` of the first row's own key
    std::uint64_t low = bits_at(slashes, keys, first - own), high = bits_at(slashes, keys, first - own + 64);
    if (rows.window > 0) {
      low &= ~bits_from(rows.window - (first - own));
      high &= ~bits_from(rows.window - (first - own) - 64);
    }
    // Row i attends to it where bit j + i is set: all rows' bits together, doubling the rows that are in.
    for (int in = 1; in < rows.count;) {
      int const by = rows.count - in < in ? rows.count - in : in;
      low |= low >> by | high << (64 - by);
      high |= high >> by;
      in += by;
    }
    low |= dev::load(verticals + word);
    return low & bits_from(keys - rows.end_key() - first) & ~bits_from(keys - rows.first_key() - first);
  }
};

/// The index of one head's lines, of a record with a plan.
template <class Element>
LOOPSERVE_DEVICE line_bits line_bits_of(planned_record<Element> const& record, int head) {
  int const words = line_words(record.plan.keys);
  std::uint64_t const* const bits = record.bits + index_t{2} * head * words;
  return {bits, bits + words, record.plan.keys};
}

/// Whether a head of the record attends to all that it sees.
template <class Element>
LOOPSERVE_DEVICE bool attends_densely(planned_record<Element> const& record, int head) {
  return record.plan.heads == 0 || dev::load(record.plan.dense + head) != 0;
}

}  // namespace detail

/// Writes the index of lines, in one pass over the plans' lists. Block (x, 2 * head + kind of line, job), a thread a word.
template <class Element>
struct line_bits_kernel {
  static constexpr int threads = 128;

  planned_record<Element> const* records;

  LOOPSERVE_DEVICE void operator()() const {
    auto const record = dev::load_whole(records + dev::block().z);
    auto const& plan = record.plan;
    int const head = dev::block().y / 2, word = dev::block().x * threads + dev::thread(), words = detail::line_words(plan.keys);
    bool const slash = dev::block().y % 2 != 0;
    if (head >= plan.heads || word >= words || detail::attends_densely(record, head)) { return; }
    int const* const list = (slash ? plan.slashes : plan.verticals) + head * plan.stride;
    int const count = dev::load((slash ? plan.slash_counts : plan.vertical_counts) + head);
    int const first = slash ? 64 * word : plan.keys - 64 * (word + 1);
    int low = 0, high = count;
    while (low < high) {
      int const middle = (low + high) / 2;
      if (dev::load(list + middle) < first) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    std::uint64_t bits = 0;
    for (; low < count; ++low) {
      int const bit = dev::load(list + low) - first;
      if (bit >= 64) { break; }
      bits |= std::uint64_t{1} << (slash ? bit : 63 - bit);
    }
    dev::store(record.bits + (index_t{2} * head + (slash ? 1 : 0)) * words + word, bits);
  }
};

}  // namespace loopserve
