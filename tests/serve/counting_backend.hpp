// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <type_traits>
#include <utility>

#include <loopserve/loopserve.hpp>

/// The cpu backend with buffers that are counted, to compare what is planned with what is held.
namespace counted {

using namespace loopserve;

struct counts {
  std::atomic<index_t> live_bytes{0};
  std::atomic<index_t> peak_bytes{0};

  void add(index_t bytes) {
    index_t const now = live_bytes += bytes;
    index_t peak = peak_bytes;
    while (peak < now && !peak_bytes.compare_exchange_weak(peak, now)) {}
  }
};

inline counts& book() {
  static counts all;
  return all;
}

template <class T>
class buffer : public host_buffer<T> {
 public:
  buffer() = default;
  explicit buffer(index_t size) : host_buffer<T>(size), counted_bytes_(counts_as_memory ? this->bytes() : 0) { book().add(counted_bytes_); }
  buffer(buffer&& from) noexcept : host_buffer<T>(std::move(from)), counted_bytes_(std::exchange(from.counted_bytes_, 0)) {}
  buffer& operator=(buffer&& from) noexcept {
    host_buffer<T>::operator=(std::move(from));
    book().add(-counted_bytes_);
    counted_bytes_ = std::exchange(from.counted_bytes_, 0);
    return *this;
  }
  ~buffer() { book().add(-counted_bytes_); }

 private:
  // Page tables, which plans leave out, are the buffers of pointers to elements.
  static constexpr bool counts_as_memory = !std::is_pointer_v<T> || std::is_same_v<T, void const*>;
  index_t counted_bytes_ = 0;
};

class backend : public cpu {
 public:
  using cpu::cpu;

  template <class T>
  using buffer = counted::buffer<T>;

  template <class T>
  buffer<T> make_buffer(index_t n) const {
    return buffer<T>(n);
  }
};

static_assert(loopserve::backend<backend>);

}  // namespace counted
