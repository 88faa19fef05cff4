// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/ids.hpp>
#include <loopserve/dev/reduce.hpp>
#include <loopserve/dev/scan.hpp>
#include <loopserve/ops/softmax_mass_kernel.hpp>

namespace loopserve {

/// Attention of sampled rows that is kept as logits, (heads, rows, stride), and what makes a softmax of each.
struct softmax_cells {
  float const* logits;
  index_t stride;
  softmax_part const* wholes;  // (heads, rows)

  struct row {
    float const* logits;
    float top, share;
    LOOPSERVE_DEVICE float operator()(int key) const { return dev::exp(dev::load(logits + key) - top) * share; }
    LOOPSERVE_DEVICE bool known() const { return share == share; }  // not where a score was NaN or infinite
  };
  LOOPSERVE_DEVICE row row_of(index_t line) const {
    auto const whole = dev::load(wholes + line);
    return {logits + line * stride, whole.top, 1 / whole.weight};
  }
};

/// Attention of sampled rows that is kept itself, (heads, rows, keys) with these strides.
struct mass_cells {
  float const* mass;
  index_t stride;

  struct row {
    float const* mass;
    LOOPSERVE_DEVICE float operator()(int key) const { return dev::load(mass + key); }
    LOOPSERVE_DEVICE bool known() const { return true; }
  };
  LOOPSERVE_DEVICE row row_of(index_t line) const { return {mass + line * stride}; }
};

/// Mass summed without rounding, in units of 2^-40 of a row: sums do not depend on their order.
using exact_mass = unsigned long long;
inline constexpr exact_mass unknown_mass = ~exact_mass{0};  ///< of rows that are not a softmax
LOOPSERVE_HOST_DEVICE constexpr exact_mass exact(float mass) { return mass > 0 ? static_cast<exact_mass>(mass * 0x1p40F) : 0; }

/// A batch of heads whose lines are searched. `kind` is 0 for verticals and 1 for slashes. All in the device's memory.
template <class Cells>
struct line_search {
  static constexpr int levels = 1024;  ///< level l holds a worth of 2^(l / 4 - 127) and up, four to an octave; 0: no worth

  Cells cells;
  int const* positions;  ///< (heads, sampled), ascending
  int sampled;
  int rows, keys;    ///< of the chunk
  int sinks, local;  ///< taken from the start
  bool by_density;
  index_t stride;         ///< between the lines of two kinds: keys, rounded up to a multiple of 16
  float* mass;            ///< (heads, 2, stride): on cells that are not covered from the start. Room for lists once lines are in order
  float* gains;           ///< (heads, stride): room
  unsigned char* taken;   ///< (heads, 2, stride)
  int* order;             ///< (heads, 2, stride): lines of some worth, falling levels
  std::uint16_t* level;   ///< (heads, 2, stride): of order's lines, at most this
  int* counted;           ///< (heads, 2, levels): lines of a level
  int* placed;            ///< (heads, 2, levels): of these, already in order
  exact_mass* uncovered;  ///< (heads)

  LOOPSERVE_HOST_DEVICE index_t lines_of(int h, int kind) const { return (index_t{h} * 2 + kind) * stride; }
  LOOPSERVE_HOST_DEVICE bool forced(int kind, int line) const { return line < (kind == 0 ? sinks : local); }
  LOOPSERVE_HOST_DEVICE int length(int line) const { return rows - (line > keys - rows ? line - (keys - rows) : 0); }
  LOOPSERVE_HOST_DEVICE float worth(float of, int line) const { return by_density ? of / static_cast<float>(length(line)) : of; }
  LOOPSERVE_HOST_DEVICE static int level_of(float worth) {
    return worth > 0 ? static_cast<int>(__builtin_bit_cast(std::uint32_t, worth) >> 21) : 0;
  }

  /// A sampled row as kernels keep it in shared memory.
  struct row {
    typename Cells::row cells;
    int position;
  };
  /// The rows of head h, by all threads; a barrier must follow.
  LOOPSERVE_DEVICE void fetch_rows(int h, row* to) const {
    for (int i = dev::thread(); i < sampled; i += dev::threads()) {
      index_t const line = index_t{h} * sampled + i;
      to[i] = {cells.row_of(line), dev::load(positions + line)};
    }
  }
};

/// Vertical and slash sums of the sampled rows (line_mass) without the cells of forced lines: mass, taken, counted and uncovered. A thread a line, whose rows it
/// adds in their order, so no sum depends on a schedule. Block (tile, kind, head).
template <class Cells>
struct line_mass_kernel {
  static constexpr int threads = 256;
  static constexpr int tile = 4 * threads;
  using search_type = line_search<Cells>;

  search_type search;

  struct layout {
    dev::reduce_scratch<exact_mass> sums;
    int counts[search_type::levels];
  };
  LOOPSERVE_HOST_DEVICE index_t shared_bytes() const {
    return static_cast<index_t>(sizeof(layout)) + search.sampled * static_cast<index_t>(sizeof(typename search_type::row));
  }

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = *reinterpret_cast<layout*>(dev::shared_array<std::uint64_t>(shared_bytes() / 8));
    auto* const rows = reinterpret_cast<typename search_type::row*>(&shared + 1);
    int const kind = dev::block().y, h = dev::block().z;
    for (int i = dev::thread(); i < search.levels; i += threads) { shared.counts[i] = 0; }
    search.fetch_rows(h, rows);
    dev::barrier();
    index_t const at = search.lines_of(h, kind);
    exact_mass sum = 0;
    for (int i = dev::thread(); i < tile; i += threads) {
      int const line = dev::block().x * tile + i;
      if (line >= search.keys) { break; }
      bool const forced = search.forced(kind, line);
      float const mass = forced ? 0 : mass_of(kind, line, rows);
      dev::store(search.mass + at + line, mass);
      dev::store(search.taken + at + line, static_cast<unsigned char>(forced ? 1 : 0));
      int const level = search.level_of(search.worth(mass, line));
      if (level > 0) { dev::atomic_add(shared.counts + level, 1); }
      sum += exact(mass);
    }
    sum = dev::block_reduce(sum, exact_mass{0}, dev::plus{}, shared.sums);  // every cell lies on one vertical
    if (kind == 0 && dev::thread() == 0 && sum > 0) { dev::atomic_add(search.uncovered + h, sum); }
    int* const counted = search.counted + (index_t{h} * 2 + kind) * search.levels;
    for (int i = dev::thread(); i < search.levels; i += threads) {
      if (shared.counts[i] != 0) { dev::atomic_add(counted + i, shared.counts[i]); }
    }
  }

 private:
  LOOPSERVE_DEVICE float mass_of(int kind, int line, typename search_type::row const* rows) const {
    int const crossing = kind == 0 ? search.local : search.sinks;  // lines of the other kind below this are forced
    float sum = 0;
    for (int i = 0; i < search.sampled; ++i) {
      int const other = rows[i].position - line;  // the cell's line of the other kind
      if (other >= crossing) { sum += rows[i].cells(kind == 0 ? line : other); }
    }
    return sum;
  }
};

/// Writes order and level: a counting sort by level. Lines of one level come in any order. Block (tile, kind, head).
template <class Cells>
struct order_lines_kernel {
  static constexpr int threads = 256;
  static constexpr int tile = 16 * threads;
  static constexpr int levels = line_search<Cells>::levels, levels_a_thread = levels / threads;

  line_search<Cells> search;

  struct shared_layout {
    dev::scan_scratch<int> scan;
    int counts[levels], next[levels];
  };

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = dev::shared<shared_layout>();
    int const kind = dev::block().y, h = dev::block().z;
    index_t const at = search.lines_of(h, kind), bins = (index_t{h} * 2 + kind) * levels;
    for (int i = dev::thread(); i < levels; i += threads) { shared.counts[i] = 0; }
    dev::barrier();
    int const first = dev::block().x * tile, end = first + tile < search.keys ? first + tile : search.keys;
    for (int line = first + dev::thread(); line < end; line += threads) {
      int const level = search.level_of(search.worth(dev::load(search.mass + at + line), line));
      if (level > 0) { dev::atomic_add(shared.counts + level, 1); }
    }
    int const highest = levels - 1 - dev::thread() * levels_a_thread;
    int own = 0;
    for (int i = 0; i < levels_a_thread; ++i) { own += dev::load(search.counted + bins + highest - i); }
    int place = dev::block_scan(own, shared.scan).before;  // its barriers end the count
    for (int i = 0; i < levels_a_thread; ++i) {
      int const level = highest - i, count = shared.counts[level];
      if (count != 0) { shared.next[level] = place + dev::atomic_add(search.placed + bins + level, count); }
      place += dev::load(search.counted + bins + level);
    }
    dev::barrier();
    for (int line = first + dev::thread(); line < end; line += threads) {
      int const level = search.level_of(search.worth(dev::load(search.mass + at + line), line));
      if (level == 0) { continue; }
      int const to = dev::atomic_add(shared.next + level, 1);
      dev::store(search.order + at + to, line);
      dev::store(search.level + at + to, static_cast<std::uint16_t>(level));
    }
  }
};

}  // namespace loopserve
