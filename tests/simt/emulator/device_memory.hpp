// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include <loopserve/core/ids.hpp>

namespace loopserve::simt {

/// The emulated device's global memory. Its addresses cannot be touched by the host's instructions, as on a device: each stands for a byte elsewhere, which is
/// reached through `at` and, inside a kernel, through the checks of `touch`.
///
/// For every byte it is known whether it is allocated and which block of the running launch touched it: two blocks that touch one byte, one of them writing,
/// without atomics, race.
class device_memory {
 public:
  static device_memory& instance();

  /// Bytes of NaN, aligned to 256, with unallocated ones before and after; an address is not used again while anything is allocated.
  void* allocate(index_t bytes);
  void free(void* address);

  /// Bytes that stay allocated and must not be touched until `revive`, which makes the first `bytes` of them fresh, NaN again.
  void retire(void* address);
  void revive(void* address, index_t bytes);

  /// Bytes that are allocated, and the most that were since `forget_peak`.
  index_t held() const { return held_; }
  index_t peak() const { return peak_; }
  void forget_peak() { peak_ = held_; }

  bool holds(void const* address) const { return address >= addresses_ && address < addresses_ + capacity; }

  /// The host's memory behind an address of the device; null where these bytes are not all allocated.
  void* at(void const* address, index_t bytes) const;

  enum class use { read, write, atomic };
  enum class verdict { fine, not_allocated, race };
  /// The same for block number `block` of the launch, which reads, writes or changes atomically: says whether it may.
  verdict touch(void const* address, index_t bytes, use how, int block);

  /// Without a check, after a `touch` that was fine.
  void* behind(void const* address) const { return bytes_ + (static_cast<char const*>(address) - addresses_); }

  /// Forgets who touched what.
  void end_launch();

 private:
  device_memory();
  index_t size_of(void* address) const;

  static constexpr index_t capacity = index_t{4} << 30;
  static constexpr index_t page = 4096;

  char* addresses_;         // never accessible
  char* bytes_;             // what stands behind them
  std::uint32_t* touched_;  // one per byte, see the source
  index_t next_ = page;
  index_t held_ = 0, peak_ = 0;
  std::map<void*, index_t> allocations_;
  std::vector<unsigned char> dirty_;  // pages of `touched_` that this launch has written
  std::vector<index_t> dirty_pages_;
};

}  // namespace loopserve::simt
