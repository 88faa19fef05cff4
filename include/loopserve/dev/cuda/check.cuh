// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include <loopserve/core/error.hpp>

namespace loopserve {

/// Throws cuda_error where `status` is no success: "`what`: CUDA's sentence (its name) (file:line)". The runtime forgets the error, where it can be forgotten.
inline void cuda_check(cudaError_t status, char const* what, source_place place = here()) {
  if (status == cudaSuccess) { return; }
  static_cast<void>(cudaGetLastError());
  throw cuda_error(std::string(what) + ": " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ") (" + place.file + ":" +
                   std::to_string(place.line) + ")");
}

/// Why no CUDA device can be used here, in a sentence; empty where one can.
inline std::string cuda_unavailable() {
  int devices = 0;
  cudaError_t const status = cudaGetDeviceCount(&devices);
  if (status == cudaSuccess && devices > 0) { return {}; }
  static_cast<void>(cudaGetLastError());
  int driver = 0;
  bool const installed = cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0;  // CUDA itself calls a driver that is not there too old
  return std::string("no CUDA device can be used here: ") +
         (!installed ? "no NVIDIA driver is installed" : status == cudaSuccess ? "none was found" : cudaGetErrorString(status));
}

}  // namespace loopserve
