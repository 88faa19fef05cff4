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

namespace detail {

/// Host memory for so many elements of so many bytes each, aligned to 64 bytes and freed by std::free; null for none. Throws capacity_error where it is not
/// to be had. Not a template: every buffer's constructor is this one function.
inline void* host_memory(index_t count, std::size_t element_bytes) {
  check(count >= 0, "a buffer's size must not be negative");
  if (count == 0) { return nullptr; }
  if (count > (std::numeric_limits<index_t>::max() - 63) / static_cast<index_t>(element_bytes)) {
    throw capacity_error("cannot allocate " + std::to_string(count) + " elements of " + std::to_string(element_bytes) + " bytes of host memory");
  }
  auto const bytes = (static_cast<std::size_t>(count) * element_bytes + 63) / 64 * 64;
  void* const memory = std::aligned_alloc(64, bytes);
  if (memory == nullptr) { throw capacity_error("cannot allocate " + std::to_string(bytes) + " bytes of host memory"); }
  return memory;
}

}  // namespace detail

/// Host memory for `size()` trivial elements, aligned to 64 bytes, not initialised. Moves, never copies by accident.
template <class T>
class host_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;

  host_buffer() = default;

  /// Throws capacity_error where the memory is not to be had.
  explicit host_buffer(index_t size) : data_(static_cast<T*>(detail::host_memory(size, sizeof(T)))), size_(size) {}

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
