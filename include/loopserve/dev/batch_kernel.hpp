// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/dev/load_whole.hpp>
#include <loopserve/dev/primitives.hpp>

namespace loopserve {

/// A kernel that can be one of a batch: `run(block, blocks)` is what one thread does, given its block's place in this kernel's own grid and that grid's extents.
/// Only `threads` and shared memory are taken from the launch.
template <class K>
concept batch_kernel_part = device_kernel<K> && requires(K const kernel, grid place) { kernel.run(place, place); };

/// One kernel of a batch, in the device's memory.
template <class Kernel>
struct alignas(8) batch_part {
  Kernel kernel;
  grid blocks;  ///< that it would be launched with alone
  int first;    ///< of the batch's blocks the first that is this kernel's
};

/// Kernels of one kind, each with a grid of its own, in one launch: their blocks stand in one row, one kernel's after the other's. So a grid of few blocks is no
/// launch of few blocks, and grids of different sizes waste none.
template <class Kernel>
struct batch_kernel {
  static constexpr int threads = Kernel::threads;

  batch_part<Kernel> const* parts;
  int count;
  index_t shared;  ///< bytes, of the kernel that takes the most

  index_t shared_bytes() const { return shared; }

  LOOPSERVE_DEVICE void operator()() const {
    int const x = dev::block().x;
    int low = 0, high = count - 1;  // the last kernel that begins at or before x
    while (low < high) {
      int const middle = (low + high + 1) / 2;
      if (dev::load(&parts[middle].first) <= x) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    auto const part = dev::load_whole(parts + low);
    int const i = x - part.first, layer = part.blocks.x * part.blocks.y;
    part.kernel.run({i % part.blocks.x, i / part.blocks.x % part.blocks.y, i / layer}, part.blocks);
  }
};

/// The same byte, four times in `word`, over `bytes` bytes. A thread 16 bytes.
struct fill_bytes_kernel {
  static constexpr int threads = 256;
  static constexpr int bytes_per_block = 16 * threads;

  unsigned char* to;
  std::uint32_t word;
  index_t bytes;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    index_t const first = index_t{block.x} * bytes_per_block + 16 * dev::thread();
    if (first + 16 <= bytes && reinterpret_cast<std::uintptr_t>(to) % 16 == 0) {
      dev::store_vec<4>(reinterpret_cast<std::uint32_t*>(to + first), {word, word, word, word});
    } else {
      for (index_t i = first; i < bytes && i < first + 16; ++i) { dev::store(to + i, static_cast<unsigned char>(word)); }
    }
  }
};

/// `bytes` bytes from one place to another that does not overlap it. A thread 16 bytes.
struct copy_bytes_kernel {
  static constexpr int threads = 256;
  static constexpr int bytes_per_block = 16 * threads;

  unsigned char const* from;
  unsigned char* to;
  index_t bytes;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    index_t const first = index_t{block.x} * bytes_per_block + 16 * dev::thread();
    if (first + 16 <= bytes && (reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from)) % 16 == 0) {
      dev::store_vec<4>(reinterpret_cast<std::uint32_t*>(to + first), dev::load_vec<4>(reinterpret_cast<std::uint32_t const*>(from + first)));
    } else {
      for (index_t i = first; i < bytes && i < first + 16; ++i) { dev::store(to + i, dev::load(from + i)); }
    }
  }
};

}  // namespace loopserve
