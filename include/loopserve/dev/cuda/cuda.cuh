// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <loopserve/dev/cuda/check.cuh>
#include <loopserve/dev/cuda/queue.cuh>
#include <loopserve/dev/device_backend.hpp>

namespace loopserve {

/// Device memory for `size()` trivial elements, not initialised, in the order of the backend's stream. Moves, never copies by accident; it keeps the backend's
/// stream alive.
template <class T>
class cuda_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;

  cuda_buffer() = default;
  cuda_buffer(std::shared_ptr<detail::cuda_queue> queue, index_t size) : queue_(std::move(queue)), size_(size) {
    check(size >= 0 && size <= std::numeric_limits<index_t>::max() / static_cast<index_t>(sizeof(T)),
          "a buffer's size is not negative and fits the address space");
    if (size > 0) { data_ = static_cast<T*>(queue_->allocate(bytes())); }
  }
  cuda_buffer(cuda_buffer&& other) noexcept
      : queue_(std::move(other.queue_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  cuda_buffer& operator=(cuda_buffer&& other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~cuda_buffer() {
    if (data_ != nullptr) { queue_->release(data_); }
  }

  T* data() { return data_; }
  T const* data() const { return data_; }
  index_t size() const { return size_; }
  index_t bytes() const { return size_ * static_cast<index_t>(sizeof(T)); }

 private:
  std::shared_ptr<detail::cuda_queue> queue_;
  T* data_ = nullptr;
  index_t size_ = 0;
};

/// Host memory that the device copies from and to without a detour. Its destruction waits for what is queued; in a step it
/// leaves the memory to the backend until the next wait.
template <class T>
class cuda_pinned_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  cuda_pinned_buffer(std::shared_ptr<detail::cuda_queue> queue, index_t size)
      : queue_(std::move(queue)), memory_(queue_->make_pinned(size * static_cast<index_t>(sizeof(T)))), size_(size) {}
  cuda_pinned_buffer(cuda_pinned_buffer&&) noexcept = default;
  cuda_pinned_buffer& operator=(cuda_pinned_buffer&&) = delete;
  ~cuda_pinned_buffer() {
    if (memory_.data() != nullptr) { queue_->release_pinned(std::move(memory_)); }
  }

  T* data() { return reinterpret_cast<T*>(memory_.data()); }
  T const* data() const { return reinterpret_cast<T const*>(memory_.data()); }
  index_t size() const { return size_; }

 private:
  std::shared_ptr<detail::cuda_queue> queue_;
  detail::pinned_bytes memory_;
  index_t size_ = 0;
};

/// An NVIDIA GPU of compute capability 8.0 or 9.0, one stream of it; on 8.6 and 8.9, whose blocks have 99 KiB of shared memory, kernels that take more throw cuda_error. A program
/// runs where it was compiled for the device (CMAKE_CUDA_ARCHITECTURES). Every operation is queued; `synchronize()` and what returns a value of the host's wait.
/// Copies of a backend share the stream and the memory pool. Throws cuda_error where there is no device.
class cuda {
 public:
  static constexpr memory_space space = memory_space::device;
  template <class T>
  using buffer = cuda_buffer<T>;
  using options = cuda_options;
  using step = detail::cuda_queue::step;

  explicit cuda(cuda_options const& o = {}) : queue_(std::make_shared<detail::cuda_queue>(o)) {}

  template <class T>
  buffer<T> make_buffer(index_t n) const {
    return buffer<T>(queue_, n);
  }
  template <class T>
  cuda_pinned_buffer<T> make_pinned(index_t n) const {
    return {queue_, n};
  }

  /// Throws error for what a kernel found wrong with its values since the last time, and cuda_error for what failed.
  void synchronize() const { queue_->synchronize(); }

  template <device_kernel Kernel>
  void launch(grid blocks, Kernel const& kernel, source_place place = here()) const {
    if (detail::launchable<Kernel>(blocks)) { queue_->launch(blocks, kernel, place); }
  }

  /// By cuBLASLt, see detail::cuda_products.
  void multiply(matrix_product const& product) const { queue_->multiply(product); }

  void copy_to_device(void* to, void const* from, index_t bytes) const { queue_->copy(to, from, bytes, cudaMemcpyHostToDevice); }
  void copy_to_host(void* to, void const* from, index_t bytes) const { queue_->copy_to_host(to, from, bytes); }
  void copy_to_pinned(void* to, void const* from, index_t bytes) const { queue_->copy(to, from, bytes, cudaMemcpyDeviceToHost); }
  void copy_inside(void* to, void const* from, index_t bytes) const { queue_->copy(to, from, bytes, cudaMemcpyDeviceToDevice); }
  void fill(void* to, unsigned char byte, index_t bytes) const { queue_->fill(to, byte, bytes); }

  /// Queues a step by CUDA graphs as far as it is what `last` has seen last time, see detail::step_recording. Wait for a step before the next one with the same `last`.
  template <class Body>
  void replay(step& last, Body&& body) const {
    queue_->replay(last, std::forward<Body>(body));
  }

  /// What this thread asks of CUDA itself is for this device, until another backend's operation.
  void make_current() const { queue_->make_current(); }
  fault_record* faults() const { return queue_->faults(); }
  int multiprocessors() const { return queue_->multiprocessors(); }
  cudaStream_t stream() const { return queue_->stream(); }

 private:
  std::shared_ptr<detail::cuda_queue> queue_;
};

static_assert(device_backend<cuda>);

}  // namespace loopserve
