// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What kernels are written over. The contract stands in dev/host/primitives.hpp, whose functions the emulator of tests/simt defines; nvcc takes
/// the twin of the same names in dev/cuda/primitives.cuh.

#include <loopserve/core/config.hpp>

#if LOOPSERVE_CUDA_COMPILER
#include <loopserve/dev/cuda/primitives.cuh>
#else
#include <loopserve/dev/host/primitives.hpp>
#endif
