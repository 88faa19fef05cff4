// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/attention/line_bits_kernel.hpp>
#include <loopserve/dev/reduce.hpp>
#include <loopserve/dev/scan.hpp>

namespace loopserve {

namespace detail {

/// All tiles of rows of a batch, counted through: (jobs, heads, tiles), as many for each job as the largest has.
struct tile_count {
  int jobs, heads, tiles;
  LOOPSERVE_HOST_DEVICE constexpr index_t all() const { return index_t{jobs} * heads * tiles; }
};

struct tile_place {
  int job, head, tile;
  LOOPSERVE_HOST_DEVICE constexpr tile_place(tile_count const& of, int number)
      : job(number / of.tiles / of.heads), head(number / of.tiles % of.heads), tile(number % of.tiles) {}
};

/// Tiles whose keys are within an eighth of each other have one class; more keys, a higher class.
inline constexpr int work_classes = 256;
LOOPSERVE_HOST_DEVICE inline int work_class(int keys) {
  return keys == 0 ? 0 : 1 + static_cast<int>(__builtin_bit_cast(std::uint32_t, static_cast<float>(keys)) >> 20) - (127 << 3);
}

/// In device memory: how many tiles each class has, and how many of them have their place.
struct work_histogram {
  int counts[work_classes], placed[work_classes];
};

}  // namespace detail

/// work (tiles): how many keys each tile of `tile_rows` rows attends to, and their classes, added up in a histogram of zeros. A warp a tile.
template <class Element>
struct tile_work_kernel {
  static constexpr int threads = 128;
  static constexpr int tiles_per_block = threads / 32;

  planned_record<Element> const* records;
  detail::tile_count tiles;
  int tile_rows;
  int* work;
  detail::work_histogram* histogram;

  LOOPSERVE_DEVICE void operator()() const {
    index_t const number = index_t{dev::block().x} * tiles_per_block + dev::warp();
    if (number >= tiles.all()) { return; }
    detail::tile_place const place(tiles, static_cast<int>(number));
    int const keys = keys_of(dev::load_whole(records + place.job), place.head, place.tile * tile_rows);
    if (dev::lane() == 0) {
      dev::store(work + number, keys);
      dev::atomic_add(histogram->counts + detail::work_class(keys), 1);
    }
  }

 private:
  LOOPSERVE_DEVICE int keys_of(planned_record<Element> const& job, int head, int first_row) const {
    if (first_row >= job.rows || head >= job.heads) { return 0; }
    int const count = job.rows - first_row < tile_rows ? job.rows - first_row : tile_rows;
    detail::row_span const rows{job.kv.tokens - job.rows + first_row, count, job.window};
    if (detail::attends_densely(job, head)) { return rows.end_key() - rows.first_key(); }
    auto const bits = detail::line_bits_of(job, head);
    int keys = 0;
    for (int word = bits.first_word(rows) + dev::lane(); word < bits.end_word(rows); word += 32) {
      keys += dev::popcount(bits.kept(rows, word));
    }
    return dev::warp_reduce(keys, dev::plus{});
  }
};

/// order (tiles): the tiles' numbers, those of the highest class first. A thread a tile.
struct order_tiles_kernel {
  static constexpr int threads = detail::work_classes;
  struct shared_layout {
    dev::scan_scratch<int> scratch;
    int first[detail::work_classes];
  };

  int const* work;
  int tiles;
  detail::work_histogram* histogram;
  int* order;

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = dev::shared<shared_layout>();
    int const own = detail::work_classes - 1 - dev::thread();
    shared.first[own] = dev::block_scan(dev::load(histogram->counts + own), shared.scratch).before;
    dev::barrier();
    index_t const number = index_t{dev::block().x} * threads + dev::thread();
    if (number >= tiles) { return; }
    int const its = detail::work_class(dev::load(work + number));
    dev::store(order + shared.first[its] + dev::atomic_add(histogram->placed + its, 1), static_cast<int>(number));
  }
};

}  // namespace loopserve
