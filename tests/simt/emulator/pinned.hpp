// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <loopserve/core/buffer.hpp>

namespace loopserve {

namespace simt {

/// Copies from pinned memory happen as late as the device's order of work allows: who writes to the memory before he has waited sees it.
class pinned_copies {
 public:
  void add(void const* memory, index_t bytes) { ranges_.emplace_back(static_cast<char const*>(memory), bytes); }
  void remove(void const* memory) {
    finish();
    std::erase_if(ranges_, [&](auto const& range) { return range.first == memory; });
  }

  /// Notes the copy where `from` is pinned.
  bool later(void* to, void const* from, index_t bytes) {
    for (auto const& [first, size] : ranges_) {
      if (from >= first && from < first + size) {
        waiting_.push_back({to, from, bytes});
        return true;
      }
    }
    return false;
  }

  void finish() {
    for (auto const& copy : std::exchange(waiting_, {})) { std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.bytes)); }
  }

 private:
  struct copy {
    void* to;
    void const* from;
    index_t bytes;
  };
  std::vector<std::pair<char const*, index_t>> ranges_;
  std::vector<copy> waiting_;
};

}  // namespace simt

template <class T>
class emulated_pinned_buffer {
 public:
  emulated_pinned_buffer(std::shared_ptr<simt::pinned_copies> copies, index_t size) : copies_(std::move(copies)), memory_(size) {
    if (size > 0) { copies_->add(memory_.data(), memory_.bytes()); }
  }
  emulated_pinned_buffer(emulated_pinned_buffer&&) noexcept = default;
  emulated_pinned_buffer& operator=(emulated_pinned_buffer&&) = delete;
  ~emulated_pinned_buffer() {
    if (memory_.data() != nullptr) { copies_->remove(memory_.data()); }
  }

  T* data() { return memory_.data(); }
  T const* data() const { return memory_.data(); }
  index_t size() const { return memory_.size(); }

 private:
  std::shared_ptr<simt::pinned_copies> copies_;
  host_buffer<T> memory_;
};

}  // namespace loopserve
