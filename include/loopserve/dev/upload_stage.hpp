// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include <loopserve/core/ids.hpp>

namespace loopserve::detail {

/// Where what a step uploads waits for the device: `Chunk` is memory that the device copies from, made from a number of bytes, with `data()`. The same uploads find the same
/// places in every step.
template <class Chunk>
class upload_stage {
 public:
  /// From now on the places are used again: what was uploaded from them has to be done.
  void rewind() { chunk_ = used_ = 0; }

  /// A copy of these bytes; `make(bytes)` gives a chunk.
  template <class Make>
  void const* place(void const* from, index_t bytes, Make make) {
    auto const need = static_cast<std::size_t>((bytes + 15) / 16 * 16);
    while (chunk_ < chunks_.size() && used_ + need > chunks_[chunk_].bytes) {
      ++chunk_;
      used_ = 0;
    }
    if (chunk_ == chunks_.size()) {
      std::size_t const size = std::max(need, chunk_bytes);
      chunks_.push_back({make(static_cast<index_t>(size)), size});
    }
    char* const to = chunks_[chunk_].memory.data() + used_;
    used_ += need;
    if (bytes > 0) { std::memcpy(to, from, static_cast<std::size_t>(bytes)); }
    return to;
  }

 private:
  static constexpr std::size_t chunk_bytes = std::size_t{64} << 10;

  struct chunk {
    Chunk memory;
    std::size_t bytes;
  };
  std::vector<chunk> chunks_;
  std::size_t chunk_ = 0, used_ = 0;
};

}  // namespace loopserve::detail
