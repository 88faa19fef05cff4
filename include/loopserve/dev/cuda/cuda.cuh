// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <loopserve/dev/cuda/check.cuh>
#include <loopserve/dev/cuda/primitives.cuh>
#include <loopserve/dev/cuda/products.cuh>
#include <loopserve/dev/device_backend.hpp>

namespace loopserve {

struct cuda_options {
  int device = 0;
  cudaStream_t stream = nullptr;  ///< null: one of its own. Otherwise the caller's, which outlives the backend and its buffers
};

namespace detail {

/// A stream, and a pool of memory that gives and takes in the stream's order and keeps what it once had.
class cuda_queue {
 public:
  explicit cuda_queue(cuda_options const& o) : device_(o.device), stream_(o.stream), owned_(o.stream == nullptr) {
    if (auto const reason = cuda_unavailable(); !reason.empty()) { throw cuda_error(reason); }
    make_current();
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = o.device;
    cuda_check(cudaMemPoolCreate(&pool_, &properties), "making a memory pool");
    auto keep = std::numeric_limits<unsigned long long>::max();
    cuda_check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep), "setting up a memory pool");
    if (owned_) { cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }
    cuda_check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, o.device),
               "asking for the number of multiprocessors");
    cuda_check(cudaMallocHost(&seen_, sizeof(fault_record)), "allocating pinned memory");
    faults_ = static_cast<fault_record*>(allocate(sizeof(fault_record)));
    clear_faults();
  }
  cuda_queue(cuda_queue const&) = delete;
  cuda_queue& operator=(cuda_queue const&) = delete;
  ~cuda_queue() {
    release(faults_);
    if (workspace_ != nullptr) { release(workspace_); }
    static_cast<void>(cudaStreamSynchronize(stream_));
    static_cast<void>(cudaFreeHost(seen_));
    if (owned_) { static_cast<void>(cudaStreamDestroy(stream_)); }
    static_cast<void>(cudaMemPoolDestroy(pool_));
  }

  void* allocate(index_t bytes) {
    make_current();
    void* p = nullptr;
    cudaError_t const status = cudaMallocFromPoolAsync(&p, static_cast<std::size_t>(bytes), pool_, stream_);
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      throw capacity_error("cannot allocate " + std::to_string(bytes) + " bytes of device memory");
    }
    cuda_check(status, "allocating device memory");
    return p;
  }
  /// Frees once what is queued has run. A failure is left to the next call that may throw.
  void release(void* p) noexcept { static_cast<void>(cudaFreeAsync(p, stream_)); }

  void make_current() const { cuda_check(cudaSetDevice(device_), "choosing a device"); }
  cudaStream_t stream() const { return stream_; }
  int multiprocessors() const { return multiprocessors_; }
  fault_record* faults() const { return faults_; }

  void synchronize() {
    cuda_check(cudaMemcpyAsync(seen_, faults_, sizeof(fault_record), cudaMemcpyDeviceToHost, stream_), "reading what kernels reported");
    wait();
    fault_record const record = *seen_;
    if (record.kind != fault::none) { clear_faults(); }
    check_fault(record);
  }
  void wait() { cuda_check(cudaStreamSynchronize(stream_), "waiting for the device"); }

  void multiply(matrix_product const& product) {
    make_current();
    if (workspace_ == nullptr) {
      workspace_ = allocate(cuda_products::workspace_bytes);
      products_ = std::make_unique<cuda_products>();
    }
    products_->run(product, workspace_, stream_);
  }

 private:
  void clear_faults() { cuda_check(cudaMemsetAsync(faults_, 0, sizeof(fault_record), stream_), "clearing what kernels reported"); }

  int device_;
  cudaStream_t stream_;
  bool owned_;
  cudaMemPool_t pool_ = nullptr;
  int multiprocessors_ = 0;
  fault_record* seen_ = nullptr;    // pinned
  fault_record* faults_ = nullptr;  // on the device
  void* workspace_ = nullptr;       // of products
  std::unique_ptr<cuda_products> products_;
};

template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads) run_kernel(__grid_constant__ Kernel const kernel) {
  kernel();
}

}  // namespace detail

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

/// Host memory that the device copies from and to without a detour. Its destruction waits for what is queued.
template <class T>
class cuda_pinned_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  cuda_pinned_buffer(std::shared_ptr<detail::cuda_queue> queue, index_t size) : queue_(std::move(queue)), size_(size) {
    if (size == 0) { return; }
    queue_->make_current();
    cudaError_t const status = cudaMallocHost(&data_, static_cast<std::size_t>(size) * sizeof(T));
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      throw capacity_error("cannot allocate " + std::to_string(size * static_cast<index_t>(sizeof(T))) + " bytes of pinned host memory");
    }
    cuda_check(status, "allocating pinned memory");
  }
  cuda_pinned_buffer(cuda_pinned_buffer&& other) noexcept
      : queue_(std::move(other.queue_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  cuda_pinned_buffer& operator=(cuda_pinned_buffer&&) = delete;
  ~cuda_pinned_buffer() {
    if (data_ == nullptr) { return; }
    static_cast<void>(cudaStreamSynchronize(queue_->stream()));
    static_cast<void>(cudaFreeHost(data_));
  }

  T* data() { return data_; }
  T const* data() const { return data_; }
  index_t size() const { return size_; }

 private:
  std::shared_ptr<detail::cuda_queue> queue_;
  T* data_ = nullptr;
  index_t size_ = 0;
};

/// An NVIDIA GPU (compute capability 8.0 and up), one stream of it. Every operation is queued; `synchronize()` and what returns a value of the host's wait.
/// Copies of a backend share the stream and the memory pool. Throws cuda_error where there is no device.
class cuda {
 public:
  static constexpr memory_space space = memory_space::device;
  template <class T>
  using buffer = cuda_buffer<T>;
  using options = cuda_options;

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
    if (!detail::launchable<Kernel>(blocks)) { return; }
    queue_->make_current();
    auto const shared = static_cast<int>(detail::shared_bytes_of(kernel));
    if (shared > 48 * 1024) {  // more than every kernel may have unasked
      cuda_check(cudaFuncSetAttribute(detail::run_kernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
                 "asking for shared memory", place);
    }
    dim3 const extents(static_cast<unsigned>(blocks.x), static_cast<unsigned>(blocks.y), static_cast<unsigned>(blocks.z));
    detail::run_kernel<Kernel><<<extents, Kernel::threads, static_cast<std::size_t>(shared), queue_->stream()>>>(kernel);
    cuda_check(cudaGetLastError(), "launching a kernel", place);
  }

  /// By cuBLASLt, see detail::cuda_products.
  void multiply(matrix_product const& product) const { queue_->multiply(product); }

  void copy_to_device(void* to, void const* from, index_t bytes) const { copy(to, from, bytes, cudaMemcpyHostToDevice); }
  void copy_to_host(void* to, void const* from, index_t bytes) const {
    copy(to, from, bytes, cudaMemcpyDeviceToHost);
    queue_->wait();
  }
  void copy_inside(void* to, void const* from, index_t bytes) const { copy(to, from, bytes, cudaMemcpyDeviceToDevice); }
  void fill(void* to, unsigned char byte, index_t bytes) const {
    if (bytes > 0) { cuda_check(cudaMemsetAsync(to, byte, static_cast<std::size_t>(bytes), queue_->stream()), "filling device memory"); }
  }

  fault_record* faults() const { return queue_->faults(); }
  int multiprocessors() const { return queue_->multiprocessors(); }
  cudaStream_t stream() const { return queue_->stream(); }

 private:
  void copy(void* to, void const* from, index_t bytes, cudaMemcpyKind kind) const {
    if (bytes > 0) { cuda_check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), kind, queue_->stream()), "copying memory"); }
  }

  std::shared_ptr<detail::cuda_queue> queue_;
};

static_assert(device_backend<cuda>);

}  // namespace loopserve
