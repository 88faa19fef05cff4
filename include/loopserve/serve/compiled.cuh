// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/cuda/cuda.cuh>
#include <loopserve/serve/compiled.hpp>

/// The engine that the target loopserve::compiled_cuda holds: `engine<defaults<cuda>>`. A program that links it, which defines LOOPSERVE_COMPILED_CUDA, compiles no kernel for
/// it, and may be written in C++ alone: a .cpp that includes loopserve.cuh. Engines of other parts are compiled where they are used, by nvcc, as without it.
#if LOOPSERVE_COMPILED_CUDA

namespace loopserve {

template <>
inline constexpr bool in_compiled<defaults<cuda>> = true;

extern template class engine<defaults<cuda>>;

}  // namespace loopserve

#endif
