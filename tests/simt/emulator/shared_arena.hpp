// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/ids.hpp>

namespace loopserve::simt {

/// A block's shared memory: `bytes` bytes up to a page that cannot be touched, with a strip before and, where the size is no multiple of 128, after it that
/// must keep its content.
class shared_arena {
 public:
  explicit shared_arena(index_t bytes);
  ~shared_arena();
  shared_arena(shared_arena const&) = delete;
  shared_arena& operator=(shared_arena const&) = delete;

  /// Fills it with NaN.
  void poison();
  /// Whether nothing was written beside it.
  bool intact() const;
  char* data() const { return data_; }
  index_t bytes() const { return bytes_; }
  bool holds(void const* address, index_t count) const {
    auto const* const p = static_cast<char const*>(address);
    return p >= data_ && p + count <= data_ + bytes_;
  }

 private:
  index_t bytes_;
  index_t mapped_;
  char* memory_;
  char* data_;
};

}  // namespace loopserve::simt
