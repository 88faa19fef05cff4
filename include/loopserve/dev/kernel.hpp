// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <type_traits>

#include <loopserve/core/config.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// The number of blocks of a launch, or a block's place among them.
struct grid {
  int x = 1, y = 1, z = 1;
};

/// A kernel is an aggregate: its members are the arguments, `operator()` is what one thread does, `threads` the size of a block (one dimension).
/// Shared memory, where it needs some: a type `shared_layout`, or a member function `shared_bytes()` where the size is known at run time only.
/// It is written over loopserve/dev/primitives.hpp alone, so that nvcc and the emulator compile the same source.
template <class K>
concept device_kernel = std::is_trivially_copyable_v<K> && requires(K const kernel) {
  { K::threads } -> std::convertible_to<int>;
  kernel();
};

/// The blocks of `per_block` items each that `count` items take.
constexpr int blocks_for(index_t count, index_t per_block) { return static_cast<int>((count + per_block - 1) / per_block); }

namespace detail {

/// What a block of this kernel takes.
template <class Kernel>
index_t shared_bytes_of(Kernel const& kernel) {
  if constexpr (requires { kernel.shared_bytes(); }) {
    return kernel.shared_bytes();
  } else if constexpr (requires { typename Kernel::shared_layout; }) {
    return static_cast<index_t>(sizeof(typename Kernel::shared_layout));
  } else {
    return 0;
  }
}

/// Whether there is anything to launch; throws error for a grid that no device takes. Holds what is known of a kernel when it is compiled, too.
template <class Kernel>
bool launchable(grid blocks) {
  static_assert(Kernel::threads > 0 && Kernel::threads <= 1024 && Kernel::threads % 32 == 0, "a block is 1 to 32 whole warps");
  static_assert(sizeof(Kernel) <= 4096, "a kernel's arguments take at most 4 KiB");
  check(blocks.x >= 0 && blocks.y >= 0 && blocks.z >= 0 && blocks.y <= 65535 && blocks.z <= 65535, "a grid's y and z are at most 65535");
  return blocks.x > 0 && blocks.y > 0 && blocks.z > 0;
}

}  // namespace detail
}  // namespace loopserve
