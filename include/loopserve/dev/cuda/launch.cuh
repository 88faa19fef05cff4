// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/dev/cuda/check.cuh>
#include <loopserve/dev/primitives.hpp>

/// The one place that only nvcc can compile. A C++ compiler reads everything of the backend but this, so that a .cpp may use an engine that a library holds.
namespace loopserve::detail {

#if LOOPSERVE_CUDA_COMPILER

template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads) run_kernel(__grid_constant__ Kernel const kernel) {
  kernel();
}

/// What a graph knows the kernel by.
template <class Kernel>
void const* kernel_function() {
  return reinterpret_cast<void const*>(&run_kernel<Kernel>);
}

/// Queues the kernel on the current device; `shared` bytes are a block's shared memory, see allow_shared_memory.
template <class Kernel>
void queue_kernel(Kernel const& kernel, dim3 blocks, index_t shared, cudaStream_t stream, source_place place) {
  run_kernel<Kernel><<<blocks, Kernel::threads, static_cast<std::size_t>(shared), stream>>>(kernel);
  cuda_check(cudaGetLastError(), "launching a kernel", place);
}

#else

template <class Kernel>
void const* kernel_function() {
  static_assert(sizeof(Kernel) == 0, "kernels are compiled by nvcc: name this file .cu, or link loopserve::compiled_cuda and use its engine, engine<defaults<cuda>>");
  return nullptr;
}

template <class Kernel>
void queue_kernel(Kernel const&, dim3, index_t, cudaStream_t, source_place) {
  kernel_function<Kernel>();
}

#endif

}  // namespace loopserve::detail
