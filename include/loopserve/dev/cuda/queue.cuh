// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/dev/cuda/check.cuh>
#include <loopserve/dev/cuda/launch.cuh>
#include <loopserve/dev/cuda/pinned_bytes.cuh>
#include <loopserve/dev/cuda/products.cuh>
#include <loopserve/dev/cuda/shared_limit.cuh>
#include <loopserve/dev/cuda/step_graph.cuh>
#include <loopserve/dev/cuda/upload_ring.cuh>
#include <loopserve/dev/fault.hpp>
#include <loopserve/dev/kernel.hpp>
#include <loopserve/dev/product.hpp>
#include <loopserve/dev/stepped_queue.hpp>

namespace loopserve {

struct cuda_options {
  int device = 0;
  cudaStream_t stream = nullptr;  ///< null: one of its own. Otherwise the caller's, made on `device` with cudaStreamNonBlocking, which outlives the backend and its buffers:
                                  ///< the legacy stream cannot be captured into a graph, and who uses it breaks the capture of a stream that waits for it
};

namespace detail {

/// A stream, and a pool of memory that gives and takes in the stream's order and keeps what it once had.
class cuda_queue : public stepped_queue<cuda_queue> {
 public:
  using work_traits = cuda_work;
  using graph = step_graph<cuda_queue>;
  using stage_memory = pinned_bytes;

  explicit cuda_queue(cuda_options const& o) : cuda_queue(o.device, o.stream) {
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
    cuda_check(cudaDeviceGetAttribute(&most_shared_, cudaDevAttrMaxSharedMemoryPerBlockOptin, o.device), "asking for a block's shared memory");
    cuda_check(cudaMallocHost(&seen_, sizeof(fault_record)), "allocating pinned memory");
    faults_ = static_cast<fault_record*>(allocate(sizeof(fault_record)));
    clear_faults();
  }
  cuda_queue(cuda_queue const&) = delete;
  cuda_queue& operator=(cuda_queue const&) = delete;
  ~cuda_queue() {
    if (faults_ != nullptr) { release(faults_); }
    if (workspace_ != nullptr) { release(workspace_); }
    trim();
    if (stream_ != nullptr) { settle(); }
    if (seen_ != nullptr) { static_cast<void>(cudaFreeHost(seen_)); }
    ring_.close();
    if (owned_ && stream_ != nullptr) { static_cast<void>(cudaStreamDestroy(stream_)); }
    if (pool_ != nullptr) { static_cast<void>(cudaMemPoolDestroy(pool_)); }
  }

  /// Waits only where there is no memory: what was freed counts as in use until the host has seen that it is free.
  void* from_device(index_t bytes) {
    make_current();
    void* p = from_pool(bytes);
    if (p == nullptr) {
      leave_step();
      trim();
      wait();
      cuda_check(cudaMemPoolTrimTo(pool_, 0), "giving memory back to the device");
      p = from_pool(bytes);
    }
    if (p == nullptr) { throw capacity_error("cannot allocate " + std::to_string(bytes) + " bytes of device memory"); }
    return p;
  }
  /// Frees once what is queued has run. A failure is left to the next call that may throw.
  void to_device(void* block) noexcept { static_cast<void>(cudaFreeAsync(block, stream_)); }

  pinned_bytes make_pinned(index_t bytes) {
    make_current();
    return pinned_bytes(bytes);
  }

  void make_current() const { cuda_check(cudaSetDevice(device_), "choosing a device"); }
  void allow_shared(void const* function, index_t bytes, source_place place = here()) const { allow_shared_memory(function, bytes, most_shared_, place); }
  cudaStream_t stream() const { return stream_; }
  int multiprocessors() const { return multiprocessors_; }
  fault_record* faults() const { return faults_; }

  void synchronize() {
    leave_step();
    cuda_check(cudaMemcpyAsync(seen_, faults_, sizeof(fault_record), cudaMemcpyDeviceToHost, stream_), "reading what kernels reported");
    wait();
    fault_record const record = *seen_;
    if (record.kind != fault::none) { clear_faults(); }
    check_fault(record);
  }
  /// Waits, and leaves failures to the next call that may throw.
  void settle() noexcept { static_cast<void>(cudaStreamSynchronize(stream_)); }
  /// Frees once what is queued has run. In a step, work that uses it may have yet to be queued: then it stays until the next wait.
  void release_pinned(pinned_bytes memory) noexcept {
    if (in_step()) {
      doomed_pinned_.push_back(std::move(memory));
    } else {
      settle();
    }
  }

  template <class Kernel>
  void launch(grid blocks, Kernel const& kernel, source_place place) {
    if (!in_step()) { return launch_now(blocks, kernel, place); }
    static work_type<cuda_queue> const type = {[](cuda_queue& q, grid g, void const* k) { q.launch_now(g, *static_cast<Kernel const*>(k), here()); },
                                               static_cast<index_t>(sizeof(Kernel)),
                                               {cuda_work::kind::kernel, kernel_function<Kernel>(), Kernel::threads,
                                                [](void const* k) { return shared_bytes_of(*static_cast<Kernel const*>(k)); }}};
    put(type, blocks, kernel);
  }

  void multiply(matrix_product const& product) {
    static work_type<cuda_queue> const type = {[](cuda_queue& q, grid, void const* p) { q.multiply_now(*static_cast<matrix_product const*>(p)); },
                                               static_cast<index_t>(sizeof product)};
    if (workspace_ == nullptr) {
      make_current();
      auto products = std::make_unique<cuda_products>();
      workspace_ = allocate(cuda_products::workspace_bytes);
      products_ = std::move(products);
    }
    put(type, {}, product);
  }

  void copy(void* to, void const* from, index_t bytes, cudaMemcpyKind kind) {
    static work_type<cuda_queue> const type = {[](cuda_queue& q, grid, void const* c) { q.copy_now(*static_cast<cuda_copy const*>(c)); },
                                               static_cast<index_t>(sizeof(cuda_copy)),
                                               {cuda_work::kind::copy}};
    if (bytes <= 0) { return; }
    if (kind == cudaMemcpyHostToDevice && !in_step() && upload_ring::takes(from, bytes)) {
      make_current();
      return ring_.copy(to, from, bytes, stream_);
    }
    put(type, {}, cuda_copy{to, kind == cudaMemcpyHostToDevice ? staged(from, bytes) : from, bytes, kind});
  }
  void copy_to_host(void* to, void const* from, index_t bytes) {
    leave_step();
    if (bytes > 0) { copy_now({to, from, bytes, cudaMemcpyDeviceToHost}); }
    wait();
  }

  void fill(void* to, unsigned char byte, index_t bytes) {
    static work_type<cuda_queue> const type = {[](cuda_queue& q, grid, void const* f) { q.fill_now(*static_cast<cuda_fill const*>(f)); },
                                               static_cast<index_t>(sizeof(cuda_fill))};
    if (bytes > 0) { put(type, {}, cuda_fill{to, bytes, byte}); }
  }

 private:
  /// Holds nothing yet. After it the destructor gives up what the public one has made, also where that throws.
  cuda_queue(int device, cudaStream_t stream) : device_(device), stream_(stream), owned_(stream == nullptr) {}

  /// Null where there is no memory.
  void* from_pool(index_t bytes) {
    void* p = nullptr;
    cudaError_t const status = cudaMallocFromPoolAsync(&p, static_cast<std::size_t>(bytes), pool_, stream_);
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());  // or the next launch would take it for its own
      return nullptr;
    }
    cuda_check(status, "allocating device memory");
    return p;
  }

  /// Out of a step, or after leave_step().
  void wait() {
    cuda_check(cudaStreamSynchronize(stream_), "waiting for the device");
    doomed_pinned_.clear();
  }
  void clear_faults() { fill_now({faults_, sizeof(fault_record), 0}); }

  template <class Kernel>
  void launch_now(grid blocks, Kernel const& kernel, source_place place) {
    make_current();
    index_t const shared = shared_bytes_of(kernel);
    allow_shared(kernel_function<Kernel>(), shared, place);
    queue_kernel(kernel, extents_of(blocks), shared, stream_, place);
  }
  void multiply_now(matrix_product const& product) {
    make_current();
    products_->run(product, workspace_, stream_);
  }
  void copy_now(cuda_copy const& c) {
    cuda_check(cudaMemcpyAsync(c.to, c.from, static_cast<std::size_t>(c.bytes), static_cast<cudaMemcpyKind>(c.kind), stream_), "copying memory");
  }
  void fill_now(cuda_fill const& f) {
    make_current();
    cuda_check(cudaMemsetAsync(f.to, static_cast<int>(f.byte), static_cast<std::size_t>(f.bytes), stream_), "filling device memory");
  }

  int device_;
  cudaStream_t stream_;
  bool owned_;
  cudaMemPool_t pool_ = nullptr;
  int multiprocessors_ = 0;
  int most_shared_ = 0;             // bytes, of a block
  fault_record* seen_ = nullptr;    // pinned
  fault_record* faults_ = nullptr;  // on the device
  void* workspace_ = nullptr;       // of products
  upload_ring ring_;
  std::vector<pinned_bytes> doomed_pinned_;
  std::unique_ptr<cuda_products> products_;
};

}  // namespace detail
}  // namespace loopserve
