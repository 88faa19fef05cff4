// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include <loopserve/dev/device_backend.hpp>

#include "pinned.hpp"
#include "queue.hpp"

namespace loopserve {

/// Memory of the emulated device.
template <class T>
class emulated_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;

  emulated_buffer() = default;
  emulated_buffer(std::shared_ptr<simt::queue> queue, index_t size) : queue_(std::move(queue)), size_(size) {
    check(size >= 0, "a buffer's size must not be negative");
    if (size > 0) { data_ = static_cast<T*>(queue_->allocate(bytes())); }
  }
  emulated_buffer(emulated_buffer&& other) noexcept
      : queue_(std::move(other.queue_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  emulated_buffer& operator=(emulated_buffer&& other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~emulated_buffer() {
    if (data_ != nullptr) { queue_->release(data_); }
  }

  T* data() { return data_; }
  T const* data() const { return data_; }
  index_t size() const { return size_; }
  index_t bytes() const { return size_ * static_cast<index_t>(sizeof(T)); }

 private:
  std::shared_ptr<simt::queue> queue_;
  T* data_ = nullptr;
  index_t size_ = 0;
};

/// The device backend that runs on the host, one thread after the other, in the order that the schedule says.
class emulated {
 public:
  static constexpr memory_space space = memory_space::device;
  template <class T>
  using buffer = emulated_buffer<T>;
  using step = simt::queue::step;

  /// `late`: see simt::queue.
  explicit emulated(simt::schedule order = {}, bool late = false) : queue_(std::make_shared<simt::queue>(order, late)) {
    faults_ = std::make_shared<buffer<fault_record>>(make_buffer<fault_record>(1));
    clear_faults();
  }

  template <class T>
  emulated_pinned_buffer<T> make_pinned(index_t n) const {
    return {queue_->copies(), n};
  }

  template <class T>
  buffer<T> make_buffer(index_t n) const {
    return buffer<T>(queue_, n);
  }

  void synchronize() const {
    fault_record record;
    copy_to_host(&record, faults(), sizeof record);
    clear_faults();
    check_fault(record);
  }

  template <device_kernel Kernel>
  void launch(grid blocks, Kernel const& kernel) const {
    if (detail::launchable<Kernel>(blocks)) { queue_->launch(blocks, kernel); }
  }
  void multiply(matrix_product const& product) const { queue_->multiply(product); }

  void copy_to_device(void* to, void const* from, index_t bytes) const { queue_->copy_to_device(to, from, bytes); }
  void copy_to_host(void* to, void const* from, index_t bytes) const { queue_->copy_to_host(to, from, bytes); }
  void copy_to_pinned(void* to, void const* from, index_t bytes) const { queue_->copy_to_pinned(to, from, bytes); }
  void copy_inside(void* to, void const* from, index_t bytes) const { queue_->copy_inside(to, from, bytes); }
  void fill(void* to, unsigned char byte, index_t bytes) const { queue_->fill(to, byte, bytes); }

  template <class Body>
  void replay(step& last, Body&& body) const {
    queue_->replay(last, std::forward<Body>(body));
  }

  fault_record* faults() const { return faults_->data(); }
  int multiprocessors() const { return 3; }
  simt::schedule const& order() const { return queue_->order(); }
  /// A late queue's work is done on return.
  void catch_up() const { queue_->catch_up(); }

 private:
  void clear_faults() const { fill(faults(), 0, sizeof(fault_record)); }

  std::shared_ptr<simt::queue> queue_;
  std::shared_ptr<buffer<fault_record>> faults_;
};

static_assert(device_backend<emulated>);

}  // namespace loopserve
