// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Everything that depends on the compiler, and nothing else. All of the project's macros are defined here.

#if defined(__CUDACC__)
#define LOOPSERVE_HOST_DEVICE __host__ __device__
#else
#define LOOPSERVE_HOST_DEVICE
#endif

// OpenMP is used where the compiler has it switched on; LOOPSERVE_STD_THREADS asks for std::thread instead (ThreadSanitizer cannot see
// through libgomp's barriers).
#if defined(_OPENMP) && !defined(LOOPSERVE_STD_THREADS)
#define LOOPSERVE_USE_OPENMP 1
#else
#define LOOPSERVE_USE_OPENMP 0
#endif
