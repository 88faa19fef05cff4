// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/reduce.hpp>
#include <loopserve/dev/scan.hpp>
#include <loopserve/ops/kept_rows_view.hpp>

namespace loopserve {

/// Selection by digits: three launches count the leading 11, the middle 11 and the last 10 bits of the scores' keys, each among those that begin as the k-th best
/// does; then the k-th best key is known. Every block finds for itself what earlier launches counted, so nothing is launched to find it.
struct top_k_search {
  static constexpr int threads = 256;
  static constexpr int tile = 16 * threads;
  static constexpr int bins = 2048, bins_a_thread = bins / threads;

  tensor_view<float const, 2> scores;
  int k;
  std::uint32_t floor;  // keys above it are eligible
  int* counted;         // (kv_heads, 3, bins)

  /// An unsigned number that orders as the floats do; NaN below everything.
  LOOPSERVE_HOST_DEVICE static constexpr std::uint32_t key_of(float x) {
    auto const bits = __builtin_bit_cast(std::uint32_t, x == 0 ? 0.0F : x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0; }
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  }

  LOOPSERVE_HOST_DEVICE static constexpr int shift(int digit) { return digit == 0 ? 21 : digit == 1 ? 10 : 0; }
  LOOPSERVE_HOST_DEVICE static constexpr int width(int digit) { return digit == 2 ? 10 : 11; }

  struct room {
    dev::scan_scratch<int> scan;
    int bin, left;
  };

  /// The best keys so far: those that exceed `key` in its leading digits, and `left` of those that share them.
  struct border {
    std::uint32_t key;
    int left, total;
  };

  /// What the first `digits` counts say of KV head h. All threads come here.
  LOOPSERVE_DEVICE border find(int h, int digits, room& shared) const {
    border b{0, k, 0};
    for (int digit = 0; digit < digits; ++digit) {
      int const* const counts = counted + (index_t{h} * 3 + digit) * bins;
      int const highest = bins - 1 - dev::thread() * bins_a_thread;
      int own = 0;
      for (int i = 0; i < bins_a_thread; ++i) { own += dev::load(counts + highest - i); }
      auto const sum = dev::block_scan(own, shared.scan);
      if (digit == 0) {
        b.total = k < sum.total ? k : sum.total;
        b.total = b.total < 0 ? 0 : b.total;
        b.left = b.total;
      }
      if (b.total == 0) { return {0xffffffffu, 0, 0}; }  // the same on all threads
      if (sum.before < b.left && b.left <= sum.before + own) {
        int above = sum.before, bin = highest;
        for (int here = dev::load(counts + bin); above + here < b.left; here = dev::load(counts + bin)) {
          above += here;
          --bin;
        }
        shared.bin = bin;
        shared.left = b.left - above;
      }
      dev::barrier();
      b.key |= static_cast<std::uint32_t>(shared.bin) << shift(digit);
      b.left = shared.left;  // written again behind the barriers of the next scan
    }
    return b;
  }

  LOOPSERVE_DEVICE std::uint32_t key(int h, int i) const { return key_of(dev::load(&scores(h, i))); }
  /// The end of a tile.
  LOOPSERVE_DEVICE int end(int of) const {
    auto const n = static_cast<int>(scores.extent(1));
    int const last = (of + 1) * tile;
    return last < n ? last : n;
  }
};

/// Block (x, h): counts one digit of the keys of tile x.
struct count_digit_kernel {
  static constexpr int threads = top_k_search::threads;
  struct shared_layout {
    top_k_search::room room;
    int counts[top_k_search::bins];
  };

  top_k_search search;
  int digit;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    auto& shared = dev::shared<shared_layout>();
    int const h = block.y, shift = search.shift(digit), above = shift + search.width(digit);
    for (int i = dev::thread(); i < search.bins; i += threads) { shared.counts[i] = 0; }
    auto const border = search.find(h, digit, shared.room);
    dev::barrier();
    for (int i = block.x * search.tile + dev::thread(); i < search.end(block.x); i += threads) {
      auto const key = search.key(h, i);
      bool const begins_alike = digit == 0 || key >> above == border.key >> above;
      if (key > search.floor && begins_alike) { dev::atomic_add(shared.counts + (key >> shift & ((1u << search.width(digit)) - 1)), 1); }
    }
    dev::barrier();
    int* const counted = search.counted + (index_t{h} * 3 + digit) * search.bins;
    for (int i = dev::thread(); i < search.bins; i += threads) {
      if (shared.counts[i] != 0) { dev::atomic_add(counted + i, shared.counts[i]); }
    }
  }
};

/// How many keys of a tile exceed the k-th best, and how many equal it.
struct alignas(8) tile_share {  // one access
  int more, equal;
};

/// Block (x, h): shares (kv_heads, tiles).
struct count_best_kernel {
  static constexpr int threads = top_k_search::threads;
  struct shared_layout {
    top_k_search::room room;
    dev::reduce_scratch<int> sums;
  };

  top_k_search search;
  tile_share* shares;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid blocks) const {
    auto& shared = dev::shared<shared_layout>();
    int const h = block.y;
    auto const border = search.find(h, 3, shared.room);
    tile_share own{0, 0};
    for (int i = block.x * search.tile + dev::thread(); i < search.end(block.x); i += threads) {
      auto const key = search.key(h, i);
      own.more += key > border.key ? 1 : 0;
      own.equal += key == border.key ? 1 : 0;
    }
    own.more = dev::block_reduce(own.more, 0, dev::plus{}, shared.sums);
    own.equal = dev::block_reduce(own.equal, 0, dev::plus{}, shared.sums);
    if (dev::thread() == 0) { dev::store(shares + index_t{h} * blocks.x + block.x, own); }
  }
};

/// Block (x, h): writes the best of tile x behind those of the tiles before it.
struct write_best_kernel {
  static constexpr int threads = top_k_search::threads;
  struct shared_layout {
    top_k_search::room room;
    dev::reduce_scratch<int> sums;
  };

  top_k_search search;
  tile_share const* shares;
  kept_rows_view out;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid blocks) const {
    auto& shared = dev::shared<shared_layout>();
    int const h = block.y;
    auto const border = search.find(h, 3, shared.room);
    if (block.x == 0 && dev::thread() == 0) { dev::store(out.counts + h, border.total); }
    tile_share before{0, 0};
    for (int i = dev::thread(); i < block.x; i += threads) {
      auto const its = dev::load(shares + index_t{h} * blocks.x + i);
      before.more += its.more;
      before.equal += its.equal;
    }
    before.more = dev::block_reduce(before.more, 0, dev::plus{}, shared.sums);
    before.equal = dev::block_reduce(before.equal, 0, dev::plus{}, shared.sums);
    int const end = search.end(block.x);
    for (int first = block.x * search.tile; first < end; first += threads) {
      int const i = first + dev::thread();
      auto const key = i < end ? search.key(h, i) : 0;
      bool const more = i < end && key > border.key, equal = i < end && key == border.key;
      auto const sum = dev::block_scan((more ? 1 : 0) + (equal ? 0x10000 : 0), shared.room.scan);  // two counts in one number
      int const equals = before.equal + (sum.before >> 16);
      if (more || (equal && equals < border.left)) {
        int const at = before.more + (sum.before & 0xffff) + (equals < border.left ? equals : border.left);
        dev::store(out.rows + h * out.stride + at, i);
      }
      before.more += sum.total & 0xffff;
      before.equal += sum.total >> 16;
    }
  }
};

/// Lifts scores [0, first) and [n - last, n) of each row above all others. A thread a score, block (x, h).
struct force_ends_kernel {
  static constexpr int threads = 128;

  tensor_view<float, 2> scores;
  int first, last;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const j = block.x * threads + dev::thread(), h = block.y;
    if (j >= first + last) { return; }
    index_t const at = j < first ? j : scores.extent(1) - last + (j - first);
    dev::store(&scores(h, at), __builtin_inff());
  }
};

/// Lifts the scores of `rows` above all others. A thread a place in a list, block (x, h).
struct force_rows_kernel {
  static constexpr int threads = 128;

  tensor_view<float, 2> scores;
  kept_rows_view rows;

  LOOPSERVE_DEVICE void operator()() const {
    int const i = dev::block().x * threads + dev::thread(), h = dev::block().y;
    if (i < dev::load(rows.counts + h)) { dev::store(&scores(h, dev::load(rows.rows + h * rows.stride + i)), __builtin_inff()); }
  }
};

/// Copies lists. A thread a place in a list, block (x, h).
struct copy_kept_kernel {
  static constexpr int threads = 128;

  kept_rows_view from, to;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const i = block.x * threads + dev::thread(), h = block.y, count = dev::load(from.counts + h);
    if (i == 0) { dev::store(to.counts + h, count); }
    if (i < count) { dev::store(to.rows + h * to.stride + i, dev::load(from.rows + h * from.stride + i)); }
  }
};

}  // namespace loopserve
