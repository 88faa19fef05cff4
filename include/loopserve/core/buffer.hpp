// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <type_traits>

#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// Host memory for `size()` trivial elements, aligned to 64 bytes, not initialised. Moves, never copies by accident.
template <class T>
class host_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;

  host_buffer() = default;

  /// Throws capacity_error where the memory is not to be had.
  explicit host_buffer(index_t size) : size_(size) {
    check(size >= 0, "a buffer's size must not be negative");
    if (size == 0) { return; }
    if (size > (std::numeric_limits<index_t>::max() - 63) / static_cast<index_t>(sizeof(T))) {
      throw capacity_error("cannot allocate " + std::to_string(size) + " elements of " + std::to_string(sizeof(T)) + " bytes of host memory");
    }
    auto const bytes = (static_cast<std::size_t>(size) * sizeof(T) + 63) / 64 * 64;
    data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
    if (!data_) { throw capacity_error("cannot allocate " + std::to_string(bytes) + " bytes of host memory"); }
  }

  T* data() { return data_.get(); }
  T const* data() const { return data_.get(); }
  index_t size() const { return size_; }
  index_t bytes() const { return size_ * static_cast<index_t>(sizeof(T)); }
  T& operator[](index_t i) { return data_.get()[i]; }
  T const& operator[](index_t i) const { return data_.get()[i]; }
  std::span<T> span() { return {data_.get(), static_cast<std::size_t>(size_)}; }
  std::span<T const> span() const { return {data_.get(), static_cast<std::size_t>(size_)}; }

 private:
  struct release {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, release> data_;
  index_t size_ = 0;
};

}  // namespace loopserve
