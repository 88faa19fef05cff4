// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include <loopserve/core/ids.hpp>
#include <loopserve/dev/cuda/check.cuh>
#include <loopserve/dev/cuda/pinned_bytes.cuh>

namespace loopserve::detail {

/// Uploads from ordinary memory go through pinned memory of the queue's own: CUDA itself might wait for the stream before it copies such memory, or, where the device reads it
/// itself, copy it only after the return. The host waits only where all chunks are on their way. What throws leaves what is on its way as it is.
class upload_ring {
 public:
  upload_ring() = default;
  upload_ring(upload_ring const&) = delete;
  upload_ring& operator=(upload_ring const&) = delete;
  ~upload_ring() { close(); }

  /// Whether an upload takes the detour: from ordinary memory always, from pinned memory where it costs less than to ask which it is.
  static bool takes(void const* from, index_t bytes) { return bytes <= chunk_bytes / 4 || !pinned(from); }

  void copy(void* to, void const* from, index_t bytes, cudaStream_t stream) {
    for (index_t done = 0; done < bytes; done += chunk_bytes) {
      copy_piece(static_cast<char*>(to) + done, static_cast<char const*>(from) + done, std::min(bytes - done, chunk_bytes), stream);
    }
  }

  /// When the stream has done everything.
  void close() noexcept {
    for (auto const& c : chunks_) { static_cast<void>(cudaEventDestroy(c.copied)); }
    chunks_.clear();
  }

 private:
  static constexpr index_t chunk_bytes = index_t{1} << 20;
  static constexpr std::size_t most_chunks = 4;

  struct chunk {
    pinned_bytes memory;
    cudaEvent_t copied;
  };

  static bool pinned(void const* from) {
    cudaPointerAttributes attributes{};
    cudaError_t const status = cudaPointerGetAttributes(&attributes, from);
    if (status != cudaSuccess) { static_cast<void>(cudaGetLastError()); }
    return status == cudaSuccess && attributes.type == cudaMemoryTypeHost;
  }

  void copy_piece(char* to, char const* from, index_t bytes, cudaStream_t stream) {
    if (chunks_.empty() || used_ + bytes > chunk_bytes) { turn(stream); }
    char* const place = chunks_[at_].memory.data() + used_;
    std::memcpy(place, from, static_cast<std::size_t>(bytes));
    cuda_check(cudaMemcpyAsync(to, place, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, stream), "copying memory");
    used_ += (bytes + 15) / 16 * 16;
  }

  /// To the next chunk, once what it held has been copied.
  void turn(cudaStream_t stream) {
    if (!chunks_.empty()) { cuda_check(cudaEventRecord(chunks_[at_].copied, stream), "marking an upload"); }
    std::size_t next = chunks_.size();
    if (next < most_chunks) {
      add_chunk();
    } else {
      next = (at_ + 1) % most_chunks;
      cuda_check(cudaEventSynchronize(chunks_[next].copied), "waiting for an upload");
    }
    at_ = next;
    used_ = 0;
  }

  void add_chunk() {
    chunks_.reserve(most_chunks);  // so that nothing throws once there is an event
    cudaEvent_t copied = nullptr;
    pinned_bytes memory(chunk_bytes);
    cuda_check(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming), "making an event");
    chunks_.push_back({std::move(memory), copied});
  }

  std::vector<chunk> chunks_;
  std::size_t at_ = 0;
  index_t used_ = 0;
};

}  // namespace loopserve::detail
