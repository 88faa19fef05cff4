// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>
#include <vector>

#include <loopserve/dev/cuda/check.cuh>
#include <loopserve/dev/queued_work.hpp>

namespace loopserve::detail {

/// What a graph has to know of a piece of work to change its arguments.
struct cuda_work {
  enum class kind { kernel, copy, other };
  kind what = kind::other;
  void const* function = nullptr;                    ///< of a kernel
  int threads = 0;                                   ///< of a block
  index_t (*shared_bytes)(void const*) = nullptr;    ///< by the arguments
};

struct cuda_copy {
  void* to;
  void const* from;
  index_t bytes;
  index_t kind;  // cudaMemcpyKind; as wide as the others, so that no byte of the whole is undefined
};

struct cuda_fill {
  void* to;
  index_t bytes;
  index_t byte;
};

inline dim3 extents_of(grid blocks) { return dim3(static_cast<unsigned>(blocks.x), static_cast<unsigned>(blocks.y), static_cast<unsigned>(blocks.z)); }

/// A CUDA graph of pieces of work, one after the other.
template <class Queue>
class step_graph {
 public:
  step_graph() = default;

  step_graph(Queue& queue, work_list<Queue> const& list) {
    queue.make_current();
    auto const stream = queue.stream();
    cuda_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "capturing a step");
    try {
      for (std::size_t i = 0; i < list.size(); ++i) {
        list.run(queue, i);
        nodes_.push_back(newest(stream));
      }
    } catch (...) {
      static_cast<void>(cudaStreamEndCapture(stream, &graph_));
      static_cast<void>(cudaGetLastError());
      destroy();
      throw;
    }
    cuda_check(cudaStreamEndCapture(stream, &graph_), "ending the capture of a step");
    cudaError_t const status = cudaGraphInstantiate(&executable_, graph_, 0);
    if (status != cudaSuccess) { destroy(); }
    cuda_check(status, "making a graph of a step");
  }

  step_graph(step_graph&& other) noexcept { swap(other); }
  step_graph& operator=(step_graph&& other) noexcept {
    step_graph last;
    last.swap(*this);
    swap(other);
    return *this;
  }
  ~step_graph() { destroy(); }

  explicit operator bool() const { return executable_ != nullptr; }

  /// Gives piece `i` the list's arguments from the next launch on; false where the graph must be made anew for that.
  bool change(Queue& queue, work_list<Queue> const& list, std::size_t i) {
    auto const& traits = list[i].type->traits;
    queue.make_current();  // where a function is looked up
    if (traits.what == cuda_work::kind::kernel) {
      index_t const shared = traits.shared_bytes(list.arguments(i));
      queue.allow_shared(traits.function, shared);
      void* arguments[] = {const_cast<void*>(list.arguments(i))};
      cudaKernelNodeParams p{};
      p.func = const_cast<void*>(traits.function);
      p.gridDim = extents_of(list[i].blocks);
      p.blockDim = dim3(static_cast<unsigned>(traits.threads));
      p.sharedMemBytes = static_cast<unsigned>(shared);
      p.kernelParams = arguments;
      return taken(cudaGraphExecKernelNodeSetParams(executable_, nodes_[i], &p));
    }
    if (traits.what == cuda_work::kind::copy) {
      auto const& c = *static_cast<cuda_copy const*>(list.arguments(i));
      return taken(cudaGraphExecMemcpyNodeSetParams1D(executable_, nodes_[i], c.to, c.from, static_cast<std::size_t>(c.bytes), static_cast<cudaMemcpyKind>(c.kind)));
    }
    return false;
  }

  void launch(Queue& queue) {
    queue.make_current();
    cuda_check(cudaGraphLaunch(executable_, queue.stream()), "launching a graph");
  }

 private:
  /// The node that what follows will wait for.
  static cudaGraphNode_t newest(cudaStream_t stream) {
    cudaStreamCaptureStatus status{};
    cudaGraphNode_t const* nodes = nullptr;
    cudaGraphEdgeData const* edges = nullptr;
    std::size_t count = 0;
    cuda_check(cudaStreamGetCaptureInfo(stream, &status, nullptr, nullptr, &nodes, &edges, &count), "capturing a step");
    check(status == cudaStreamCaptureStatusActive && count == 1, "a piece of a step ends in one node of its graph");
    return nodes[0];
  }

  static bool taken(cudaError_t status) {
    if (status != cudaSuccess) { static_cast<void>(cudaGetLastError()); }
    return status == cudaSuccess;
  }

  void swap(step_graph& other) noexcept {
    std::swap(graph_, other.graph_);
    std::swap(executable_, other.executable_);
    std::swap(nodes_, other.nodes_);
  }
  void destroy() noexcept {
    if (executable_ != nullptr) { static_cast<void>(cudaGraphExecDestroy(executable_)); }
    if (graph_ != nullptr) { static_cast<void>(cudaGraphDestroy(graph_)); }
    executable_ = nullptr;
    graph_ = nullptr;
  }

  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
  std::vector<cudaGraphNode_t> nodes_;  // the last one of each piece
};

}  // namespace loopserve::detail
