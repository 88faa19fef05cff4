// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/dev/reduce.hpp>
#include <loopserve/dev/scan.hpp>
#include <loopserve/dev/unroll.hpp>
#include <loopserve/ops/line_mass_kernel.hpp>

namespace loopserve {

/// Takes lines until the sampled rows' uncovered mass is at most `allowed`: greedy by falling thresholds (Badanidiyuru and Vondrak, Fast algorithms for maximizing
/// submodular functions, 2014). At every level the verticals that are still worth it are taken, then the slashes that are then still worth it; lines of one kind
/// share no cell, so what each of them adds is exact although all are looked at together. Where a level's lines are more than needed, the best of them that
/// suffice are taken, ties to the lower index. A block a head; how often it goes round depends on the head, the launch does not.
template <class Cells>
struct take_lines_kernel {
  static constexpr int threads = 1024;
  static constexpr int lanes_a_line = 4;
  static constexpr int levels = line_search<Cells>::levels;
  using search_type = line_search<Cells>;

  search_type search;
  exact_mass allowed;

  struct layout {
    exact_mass gained[2], taken[2];  // at this level, by kind
    dev::scan_scratch<exact_mass> scan;
    exact_mass digits[256], want;
    int reach[2][levels];  // lines of this level or a higher one
    int found[2], next, digit;
  };
  LOOPSERVE_HOST_DEVICE index_t shared_bytes() const {
    return static_cast<index_t>(sizeof(layout)) + search.sampled * static_cast<index_t>(sizeof(typename search_type::row));
  }

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = *reinterpret_cast<layout*>(dev::shared_array<std::uint64_t>(shared_bytes() / 8));
    auto* const rows = reinterpret_cast<typename search_type::row*>(&shared + 1);
    int const h = dev::block().x;
    search.fetch_rows(h, rows);
    count_reach(h, shared);
    exact_mass left = dev::load(search.uncovered + h);
    bool known = true;
    for (int i = 0; i < search.sampled; ++i) { known = known && rows[i].cells.known(); }
    if (!known) { left = unknown_mass; }
    for (int level = known ? levels - 1 : 0; level > 0 && left > allowed;) {
      gather(h, level, shared);
      for (int kind = 0; kind < 2 && left > allowed; ++kind) {
        side const its = side_of(h, kind, shared);
        if (its.found == 0) { continue; }
        exact_mass const gain = refresh(its, level, rows, shared);
        std::uint64_t const least = left > gain && left - gain > allowed ? 1 : last_needed(its, left - allowed, shared);
        exact_mass const taken = take(its, least, shared);
        left = taken < left ? left - taken : 0;  // rounding may find more than there was
      }
      level = shared.next;
      dev::barrier();
    }
    if (dev::thread() == 0) { dev::store(search.uncovered + h, left); }
  }

 private:
  // The lines of a kind that are looked at. Their lists lie where the masses were, which nobody needs once lines are in order.
  struct side {
    int kind, found;
    index_t at, crossing;  // of the kind, and of the other
    int* places;           // (found) in order
    float* gains;          // (found) what each adds; 0 where it is not worth the level
  };

  LOOPSERVE_DEVICE int* places_of(int h, int kind) const { return reinterpret_cast<int*>(search.mass + search.lines_of(h, kind)); }
  LOOPSERVE_DEVICE side side_of(int h, int kind, layout const& shared) const {
    return {kind,
            shared.found[kind],
            search.lines_of(h, kind),
            search.lines_of(h, 1 - kind),
            places_of(h, kind),
            search.gains + h * search.stride};
  }

  LOOPSERVE_DEVICE void count_reach(int h, layout& shared) const {
    constexpr int each = levels / threads;
    for (int kind = 0; kind < 2; ++kind) {
      int const* const counted = search.counted + (index_t{h} * 2 + kind) * levels;
      int const highest = levels - 1 - dev::thread() * each;
      exact_mass own = 0;
      for (int i = 0; i < each; ++i) { own += static_cast<exact_mass>(dev::load(counted + highest - i)); }
      auto sum = static_cast<int>(dev::block_scan(own, shared.scan).before);
      for (int i = 0; i < each; ++i) { shared.reach[kind][highest - i] = sum += dev::load(counted + highest - i); }
    }
  }

  /// Lists the lines that were once worth this level and are not taken. `next` becomes the highest lower level that any line was once worth.
  LOOPSERVE_DEVICE void gather(int h, int level, layout& shared) const {
    if (dev::thread() < 2) { shared.found[dev::thread()] = 0, shared.gained[dev::thread()] = shared.taken[dev::thread()] = 0; }
    if (dev::thread() == 0) { shared.next = 0; }
    dev::barrier();
    int lower = 0;
    for (int kind = 0; kind < 2; ++kind) {
      std::uint16_t const* const its = search.level + search.lines_of(h, kind);
      int* const places = places_of(h, kind);
      int const reach = shared.reach[kind][level];
      for (int first = 8 * dev::thread(); first < reach; first += 8 * threads) {
        auto const eight = dev::load_vec<8>(its + first);
        for (int i = 0; i < 8; ++i) {
          if (first + i >= reach) { break; }
          if (eight[i] >= level) {
            dev::store(places + dev::atomic_add(&shared.found[kind], 1), first + i);
          } else {
            lower = dev::larger{}(lower, static_cast<int>(eight[i]));
          }
        }
      }
      if (dev::thread() == 0 && reach < shared.reach[kind][1]) { lower = dev::larger{}(lower, static_cast<int>(dev::load(its + reach))); }
    }
    if (dev::ballot(lower > 0) != 0) {
      lower = dev::warp_reduce(lower, dev::larger{});
      if (dev::lane() == 0) { dev::atomic_max(&shared.next, lower); }
    }
    dev::barrier();
  }

  /// What each of the listed lines adds now, and what those that are worth the level add together. Four lanes a line.
  LOOPSERVE_DEVICE exact_mass refresh(side const& its, int level, typename search_type::row const* rows, layout& shared) const {
    constexpr int of_warp = 32 / lanes_a_line, together = threads / lanes_a_line;
    int const part = dev::thread() % lanes_a_line;
    exact_mass gain = 0;
    for (int first = dev::warp() * of_warp; first < its.found; first += together) {
      int const i = first + dev::lane() / lanes_a_line;
      bool const inside = i < its.found;
      int const place = inside ? dev::load(its.places + i) : 0, line = inside ? dev::load(search.order + its.at + place) : 0;
      float mass = 0;
      for (int first_row = part; inside && first_row < search.sampled; first_row += 4 * lanes_a_line) {
        dev::unrolled<4>([&](int j) {  // loads of four rows at once
          int const r = first_row + j * lanes_a_line, other = r < search.sampled ? rows[r].position - line : -1;
          if (other < 0) { return; }
          float const cell = rows[r].cells(its.kind == 0 ? line : other);
          mass += dev::load(search.taken + its.crossing + other) == 0 ? cell : 0;
        });
      }
      for (int by = lanes_a_line / 2; by > 0; by /= 2) { mass += dev::shuffle_xor(mass, by); }
      if (inside && part == 0) {
        int const now = search.level_of(search.worth(mass, line));
        dev::store(search.level + its.at + place, static_cast<std::uint16_t>(now));
        dev::store(its.gains + i, now >= level ? mass : 0);
        if (now >= level) {
          gain += exact(mass);
        } else {
          dev::atomic_max(&shared.next, now);
        }
      }
    }
    return add_up(gain, shared.gained[its.kind]);
  }

  /// The sum over the block, whose place was 0.
  LOOPSERVE_DEVICE static exact_mass add_up(exact_mass own, exact_mass& sum) {
    if (dev::ballot(own > 0) != 0) {
      own = dev::warp_reduce(own, dev::plus{});
      if (dev::lane() == 0) { dev::atomic_add(&sum, own); }
    }
    dev::barrier();
    return sum;
  }

  /// A line's place among those of its kind: by worth, then by index, the best highest.
  LOOPSERVE_DEVICE std::uint64_t key_of(float gain, int line) const {
    float const worth = search.worth(gain, line);
    auto const bits = __builtin_bit_cast(std::uint32_t, worth);
    return static_cast<std::uint64_t>(bits) << 32 | ~static_cast<std::uint32_t>(line);
  }

  /// The key of the last line that is needed where the best add up to `want`, which all together do: digit by digit.
  LOOPSERVE_DEVICE std::uint64_t last_needed(side const& its, exact_mass want, layout& shared) const {
    std::uint64_t border = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
      for (int i = dev::thread(); i < 256; i += threads) { shared.digits[i] = 0; }
      dev::barrier();
      for (int first = 32 * dev::warp(); first < its.found; first += threads) {
        int const i = first + dev::lane();
        float const gain = i < its.found ? dev::load(its.gains + i) : 0;
        std::uint64_t const key = gain > 0 ? key_of(gain, line_at(its, i)) : 0;
        bool const begins_alike = gain > 0 && (shift == 56 || key >> (shift + 8) == border >> (shift + 8));
        add_to_digits(begins_alike, static_cast<int>(key >> shift & 255), exact(gain), shared.digits);
      }
      dev::barrier();
      int const digit = 255 - dev::thread();
      exact_mass const own = digit >= 0 ? shared.digits[digit] : 0;
      auto const sum = dev::block_scan(own, shared.scan);
      if (sum.before < want && want <= sum.before + own) {
        shared.digit = digit;
        shared.want = want - sum.before;
      }
      dev::barrier();
      border |= static_cast<std::uint64_t>(shared.digit) << shift;
      want = shared.want;  // written again behind the next digit's barriers
    }
    return border;
  }

  /// digits[digit] += gain on the lanes that are `in`. Worths of a level begin alike: what a warp would add to one place goes there as one sum, for the first two
  /// places that it names, since adds of 64 bits in shared memory that meet are retried.
  LOOPSERVE_DEVICE static void add_to_digits(bool in, int digit, exact_mass gain, exact_mass* digits) {
    for (int round = 0; round < 2; ++round) {
      std::uint32_t const lanes = dev::ballot(in);
      if (lanes == 0) { return; }
      int const common = dev::shuffle(digit, dev::popcount((lanes & -lanes) - 1));
      bool const shared = in && digit == common;
      exact_mass const sum = dev::warp_reduce(shared ? gain : 0, dev::plus{});
      if (dev::lane() == 0) { dev::atomic_add(digits + common, sum); }
      in = in && !shared;
    }
    if (in) { dev::atomic_add(digits + digit, gain); }
  }

  /// Takes the listed lines that are worth the level and not below `least`; what they add.
  LOOPSERVE_DEVICE exact_mass take(side const& its, std::uint64_t least, layout& shared) const {
    exact_mass gain = 0;
    for (int i = dev::thread(); i < its.found; i += threads) {
      float const own = dev::load(its.gains + i);
      if (!(own > 0)) { continue; }
      int const line = line_at(its, i);
      if (key_of(own, line) < least) { continue; }
      dev::store(search.taken + its.at + line, static_cast<unsigned char>(1));
      dev::store(search.level + its.at + dev::load(its.places + i), static_cast<std::uint16_t>(0));
      gain += exact(own);
    }
    return add_up(gain, shared.taken[its.kind]);
  }

  LOOPSERVE_DEVICE int line_at(side const& its, int i) const { return dev::load(search.order + its.at + dev::load(its.places + i)); }
};

/// Where the lines of a batch of heads go: a plan's part for these heads. All in the device's memory.
struct cover_heads_view {
  index_t stride;
  int* verticals;        ///< (heads, stride)
  int* slashes;          ///< (heads, stride)
  int* vertical_counts;  ///< (heads)
  int* slash_counts;     ///< (heads)
  unsigned char* dense;  ///< (heads)
  float* covered;        ///< (heads)
};

/// Writes the taken lines, ascending, counts the cells of their union and says whether the head is dense instead. A block a head.
template <class Cells>
struct write_lines_kernel {
  static constexpr int threads = 512;
  static constexpr int each = 16;  // lines of a thread at once

  line_search<Cells> search;
  double dense_above;
  cover_heads_view out;

  struct shared_layout {
    dev::scan_scratch<int> scan;
    dev::reduce_scratch<long long> sums;
  };

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = dev::shared<shared_layout>();
    int const h = dev::block().x;
    int* const below = reinterpret_cast<int*>(search.mass + search.lines_of(h, 0));  // slashes below an offset
    long long cells = 0;
    int const slashes = write(1, h, below, 0, cells, shared.scan);
    int const verticals = write(0, h, below, slashes, cells, shared.scan);
    cells = dev::block_reduce(cells, 0LL, dev::plus{}, shared.sums);
    if (dev::thread() != 0) { return; }
    index_t const rows = search.rows, causal = rows * (search.keys - rows) + rows * (rows + 1) / 2;
    bool const dense = static_cast<double>(cells) > dense_above * static_cast<double>(causal);
    auto const left = dev::load(search.uncovered + h);
    float const covered =
        left == unknown_mass ? __builtin_nanf("") : static_cast<float>(1 - static_cast<double>(left) * 0x1p-40 / search.sampled);
    dev::store(out.vertical_counts + h, verticals);
    dev::store(out.slash_counts + h, slashes);
    dev::store(out.dense + h, static_cast<unsigned char>(dense ? 1 : 0));
    dev::store(out.covered + h, dense ? 1.0F : covered);
  }

 private:
  /// Writes the lines of a kind; adds their cells that are on no slash where these are verticals. How many.
  LOOPSERVE_DEVICE int write(int kind, int h, int* below, int slashes, long long& cells, dev::scan_scratch<int>& scan) const {
    int* const list = (kind == 0 ? out.verticals : out.slashes) + h * out.stride;
    unsigned char const* const taken = search.taken + search.lines_of(h, kind);
    int written = 0;
    for (int base = 0; base < search.keys; base += each * threads) {
      int const first = base + each * dev::thread();
      dev::vec<unsigned char, each> chosen{};
      if (first < search.keys) { chosen = dev::load_vec<each>(taken + first); }
      int own = 0;
      for (int i = 0; i < each; ++i) { own += first + i < search.keys && chosen[i] != 0 ? 1 : 0; }
      auto const sum = dev::block_scan(own, scan);
      int to = written + sum.before;
      if (kind == 1 && first < search.keys) { count_below(chosen, to, below + first); }
      for (int i = 0; i < each && first + i < search.keys; ++i) {
        int const line = first + i;
        if (chosen[i] == 0) { continue; }
        dev::store(list + to++, line);
        cells += search.length(line);
        if (kind == 0) { cells -= crossings(line, below, slashes); }
      }
      written += sum.total;
    }
    return written;
  }

  // How many slashes are below each of the thread's offsets. The room reaches to a multiple of 16 lines.
  LOOPSERVE_DEVICE static void count_below(dev::vec<unsigned char, each> const& chosen, int before, int* below) {
    static_assert(each == 16);
    for (int i = 0; i < each; i += 4) {
      dev::vec<int, 4> four;
      for (int j = 0; j < 4; ++j) {
        four[j] = before;
        before += chosen[i + j] != 0 ? 1 : 0;
      }
      dev::store_vec<4>(below + i, four);
    }
  }

  // A vertical c and a slash d meet in the row p = c + d, where that row is one of the chunk's.
  LOOPSERVE_DEVICE int crossings(int vertical, int const* below, int slashes) const {
    int const history = search.keys - search.rows, low = history > vertical ? history - vertical : 0, high = search.keys - vertical;
    return (high < search.keys ? dev::load(below + high) : slashes) - dev::load(below + low);
  }
};

}  // namespace loopserve
