// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include <loopserve/dev/primitives.hpp>

namespace loopserve::dev {

/// A record of any size from global memory, word by word: descriptions of jobs that a batch's blocks read. What a caller does not use is not loaded on a device.
template <class T>
LOOPSERVE_DEVICE T load_whole(T const* from) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 8 == 0 && alignof(T) == 8);
  struct {
    std::uint64_t at[sizeof(T) / 8];
  } words;
  for (int i = 0; i < static_cast<int>(sizeof(T) / 8); ++i) { words.at[i] = load(reinterpret_cast<std::uint64_t const*>(from) + i); }
  return __builtin_bit_cast(T, words);
}

}  // namespace loopserve::dev
