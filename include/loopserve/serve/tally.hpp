// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/ops/copy.hpp>

namespace loopserve {

/// Numbers that operations add to in the backend's memory and that the host reads once, at the end.
template <class Backend, class T>
class tally {
 public:
  tally() = default;
  /// `count` zeros.
  tally(Backend& backend, std::size_t count) : backend_(&backend) {
    std::vector<T> zeros(count);
    if constexpr (on_device) {
      memory_ = backend.template make_buffer<T>(static_cast<index_t>(count));
      upload(backend, zeros.data(), memory_.size(), memory_.data());
    } else {
      memory_ = std::move(zeros);
    }
  }

  T* data() { return memory_.data(); }

  /// On a device it waits.
  std::vector<T> read() const {
    std::vector<T> numbers(static_cast<std::size_t>(memory_.size()));
    if (!numbers.empty()) { download(*backend_, memory_.data(), static_cast<index_t>(numbers.size()), numbers.data()); }
    return numbers;
  }

 private:
  static constexpr bool on_device = Backend::space == memory_space::device;
  using memory = typename std::conditional_t<on_device, typename Backend::template buffer<T>, std::vector<T>>;

  Backend* backend_ = nullptr;
  memory memory_;
};

}  // namespace loopserve
