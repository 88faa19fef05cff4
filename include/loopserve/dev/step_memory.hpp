// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <unordered_map>
#include <vector>

#include <loopserve/core/ids.hpp>

namespace loopserve::detail {

/// Device memory of what a step makes and gives back: it is kept, so that the next step, which asks for the same, gets the same addresses and allocates nothing.
/// A block goes to whoever asks next, in the order of one queue.
class step_memory {
 public:
  /// A step begins: from the same free blocks the same requests get the same ones, in whichever order they were given back.
  void begin_step() {
    for (auto& [size, blocks] : classes_) { std::sort(blocks.free.begin(), blocks.free.end(), std::greater<>()); }
  }

  /// `allocate(bytes)` is called where no block of the size's class is free.
  template <class Allocate>
  void* take(index_t bytes, Allocate allocate) {
    index_t const size = class_of(bytes);
    auto& [free, made] = classes_[size];
    if (free.empty()) {
      free.reserve(static_cast<std::size_t>(made) + 1);  // so that giving back never allocates
      void* const fresh = allocate(size);
      ++made;
      class_of_[fresh] = size;
      return fresh;
    }
    void* const block = free.back();
    free.pop_back();
    return block;
  }

  /// Whether the block came from here; then it is free from now on.
  bool give_back(void* block) {
    auto const found = class_of_.find(block);
    if (found == class_of_.end()) { return false; }
    classes_.find(found->second)->second.free.push_back(block);
    return true;
  }

  /// Gives up all that is free.
  template <class Release>
  void trim(Release release) {
    for (auto& [size, blocks] : classes_) {
      for (void* block : blocks.free) {
        class_of_.erase(block);
        release(block);
      }
      blocks.made -= static_cast<index_t>(blocks.free.size());
      blocks.free.clear();
    }
  }

  /// At least 512 bytes, and at most a quarter more than asked for above that: so little growth from step to step stays in the same block.
  static index_t class_of(index_t bytes) {
    if (bytes <= 512) { return 512; }
    index_t const quarter = static_cast<index_t>(std::bit_floor(static_cast<std::uint64_t>(bytes - 1))) / 4;
    return (bytes + quarter - 1) / quarter * quarter;
  }

 private:
  struct same_size {
    std::vector<void*> free;
    index_t made = 0;
  };
  std::map<index_t, same_size> classes_;
  std::unordered_map<void*, index_t> class_of_;
};

}  // namespace loopserve::detail
