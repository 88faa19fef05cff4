// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <utility>

#include <loopserve/core/ids.hpp>
#include <loopserve/dev/cuda/check.cuh>

namespace loopserve::detail {

/// Host memory that the device copies from and to without a detour. Who gives it up has waited for the device.
class pinned_bytes {
 public:
  explicit pinned_bytes(index_t bytes) {
    if (bytes == 0) { return; }
    cudaError_t const status = cudaMallocHost(&data_, static_cast<std::size_t>(bytes));
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      throw capacity_error("cannot allocate " + std::to_string(bytes) + " bytes of pinned host memory");
    }
    cuda_check(status, "allocating pinned memory");
  }
  pinned_bytes(pinned_bytes&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  pinned_bytes& operator=(pinned_bytes&&) = delete;
  ~pinned_bytes() {
    if (data_ != nullptr) { static_cast<void>(cudaFreeHost(data_)); }
  }
  char* data() { return static_cast<char*>(data_); }
  char const* data() const { return static_cast<char const*>(data_); }

 private:
  void* data_ = nullptr;
};

}  // namespace loopserve::detail
