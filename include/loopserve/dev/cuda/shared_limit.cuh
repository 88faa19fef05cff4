// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include <loopserve/core/ids.hpp>
#include <loopserve/dev/cuda/check.cuh>

namespace loopserve::detail {

inline constexpr index_t shared_bytes_unasked = 48 * 1024;  // what a block of every kernel may have

/// Lets a block of the kernel have `bytes` of shared memory on the current device, which gives `most`; throws cuda_error where that is less. What is allowed is the function's, on
/// this device, for the whole process: all of `most` is asked for every time, so that no thread takes away what another one needs.
inline void allow_shared_memory(void const* function, index_t bytes, int most, source_place place = here()) {
  if (bytes <= shared_bytes_unasked) { return; }
  if (bytes > most) {
    throw cuda_error("a block of a kernel takes " + std::to_string(bytes) + " bytes of shared memory, and the device has " + std::to_string(most) + " for one (" +
                     place.file + ":" + std::to_string(place.line) + ")");
  }
  cuda_check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, most), "asking for shared memory", place);
}

}  // namespace loopserve::detail
