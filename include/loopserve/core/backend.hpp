// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <string>

#include <loopserve/core/buffer.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/core/parallel.hpp>

namespace loopserve {

enum class memory_space { host, device };

/// Where operations run. A backend is a value, passed first to every operation; overloads on its type choose the implementation.
template <class B>
concept backend = requires(B& b, index_t n) {
  { B::space } -> std::convertible_to<memory_space>;
  typename B::template buffer<float>;
  { b.template make_buffer<float>(n) } -> std::same_as<typename B::template buffer<float>>;
  b.synchronize();
};

/// Plain loops with float64 sums: the oracle that every other backend is held against. No dependencies.
class reference {
 public:
  static constexpr memory_space space = memory_space::host;
  template <class T>
  using buffer = host_buffer<T>;

  /// `threads` = 0 takes as many as the machine has. Results do not depend on it. Throws error for a negative number.
  explicit reference(int threads = 0) : threads_(threads > 0 ? threads : available_threads()) {
    if (threads < 0) { throw error("threads: expected 0 (as many as the machine has) or more, found " + std::to_string(threads)); }
  }

  template <class T>
  buffer<T> make_buffer(index_t n) const {
    return buffer<T>(n);
  }
  void synchronize() const {}
  int threads() const { return threads_; }

 private:
  int threads_;
};

static_assert(backend<reference>);

}  // namespace loopserve
