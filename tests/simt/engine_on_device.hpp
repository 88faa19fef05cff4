// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The engine on the backend that device tests run on: `cuda` where nvcc compiles, else `emulated`, for which every launcher is included here.

#include "device_test.hpp"

#if LOOPSERVE_CUDA_COMPILER
#include <loopserve/loopserve.cuh>
#else
#include <loopserve/attention/decode.cuh>
#include <loopserve/attention/dense.cuh>
#include <loopserve/attention/line_sparse.cuh>
#include <loopserve/ops/add.cuh>
#include <loopserve/ops/argmax.cuh>
#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/each_job.cuh>
#include <loopserve/ops/embed.cuh>
#include <loopserve/ops/gather.cuh>
#include <loopserve/ops/kept_share.cuh>
#include <loopserve/ops/key_mass.cuh>
#include <loopserve/ops/key_sketch.cuh>
#include <loopserve/ops/matmul.cuh>
#include <loopserve/ops/penalties.cuh>
#include <loopserve/ops/rmsnorm.cuh>
#include <loopserve/ops/rope.cuh>
#include <loopserve/ops/sampling.cuh>
#include <loopserve/ops/silu_mul.cuh>
#include <loopserve/ops/store_rows.cuh>
#include <loopserve/ops/top_k.cuh>
#include <loopserve/prefill/choose_lines.cuh>
#include <loopserve/prefill/dense_prefill.hpp>
#include <loopserve/prefill/line_plan.cuh>
#include <loopserve/prefill/line_tally.cuh>
#include <loopserve/serve/defaults.hpp>
#include <loopserve/serve/engine.hpp>
#include <loopserve/serve/score.hpp>
#endif

#include <filesystem>
#include <string>
#include <vector>

#include <loopserve/attention/dense_attention.hpp>
#include <loopserve/kv/keep_all.hpp>

namespace loopserve::device_test {

#if LOOPSERVE_CUDA_COMPILER
using device = cuda;
using adverse_device = cuda;
#else
using device = emulated;
/// Blocks, warps and lanes in changing order, several blocks at a time, asynchronous copies as late as they may be.
struct adverse_device : emulated {
  adverse_device() : emulated(simt::schedules()[3]) {}
};
#endif

inline std::string const demo_model = std::string(LOOPSERVE_SOURCE_DIR) + "/assets/demo-model";
inline std::string const material = std::string(LOOPSERVE_MATERIAL) + "/models/";

/// Nothing is skipped.
template <class Backend>
struct dense : defaults<Backend> {
  using selector = dense_prefill<Backend>;
  using attention = dense_attention<Backend>;
  using compressor = keep_all<Backend>;
};

}  // namespace loopserve::device_test
