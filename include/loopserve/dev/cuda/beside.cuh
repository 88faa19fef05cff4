// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/cuda/cuda.cuh>

namespace loopserve {

/// A second queue of the same device, with a stream and a pool of its own: what is queued on it runs beside what is queued on `b`, in no order but that of run_after().
/// Its memory goes back in its own order, so scratch needs no care; memory of `b` that it uses was made, and is given back, on the other side of a run_after().
inline cuda beside(cuda const& b) {
  int device = 0;
  cuda_check(cudaStreamGetDevice(b.stream(), &device), "asking for a stream's device");
  return cuda({device});
}

/// What is queued on `later` from now on waits, on the device, for what was queued on `earlier` until now.
inline void run_after(cuda const& later, cuda const& earlier) {
  earlier.make_current();  // an event is of the device that is current, and recorded on that one alone
  cudaEvent_t reached = nullptr;
  cuda_check(cudaEventCreateWithFlags(&reached, cudaEventDisableTiming), "making an event");
  cudaError_t status = cudaEventRecord(reached, earlier.stream());
  if (status == cudaSuccess) { status = cudaStreamWaitEvent(later.stream(), reached); }
  static_cast<void>(cudaEventDestroy(reached));  // goes once it has been reached
  cuda_check(status, "putting two streams in order");
}

}  // namespace loopserve
