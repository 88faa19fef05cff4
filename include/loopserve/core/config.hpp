// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Everything that depends on the compiler, and nothing else. All of the project's macros are defined here.

// LOOPSERVE_DEVICE marks what kernels call. A host compiler sees ordinary functions, which the emulator of tests/simt runs.
#if defined(__CUDACC__)
#define LOOPSERVE_CUDA_COMPILER 1
#define LOOPSERVE_HOST_DEVICE __host__ __device__
#define LOOPSERVE_DEVICE __device__
#else
#define LOOPSERVE_CUDA_COMPILER 0
#define LOOPSERVE_HOST_DEVICE
#define LOOPSERVE_DEVICE
#endif

// nvcc reads code once for each side; on the device's some things are one instruction.
#if defined(__CUDA_ARCH__)
#define LOOPSERVE_DEVICE_CODE 1
#else
#define LOOPSERVE_DEVICE_CODE 0
#endif

// Objects whose bytes are compared have no garbage between their members, where the compiler can see to it.
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define LOOPSERVE_CLEAR_PADDING(object) __builtin_clear_padding(object)
#endif
#endif
#ifndef LOOPSERVE_CLEAR_PADDING
#define LOOPSERVE_CLEAR_PADDING(object) static_cast<void>(object)
#endif

// OpenMP is used where the compiler has it switched on; LOOPSERVE_STD_THREADS asks for std::thread instead (ThreadSanitizer cannot see
// through libgomp's barriers).
#if defined(_OPENMP) && !defined(LOOPSERVE_STD_THREADS)
#define LOOPSERVE_USE_OPENMP 1
#else
#define LOOPSERVE_USE_OPENMP 0
#endif

// x86-64 gets kernels for AVX2 and for AVX-512. LOOPSERVE_PORTABLE asks for the portable ones there too, which run on every processor.
#if defined(__x86_64__) && !defined(__CUDACC__) && !defined(LOOPSERVE_PORTABLE)
#define LOOPSERVE_X86_64 1
#else
#define LOOPSERVE_X86_64 0
#endif

// oneDNN, where the build says that it is there (LOOPSERVE_HAS_ONEDNN); otherwise Eigen. Through OpenMP oneDNN is told how many threads to use.
#if defined(LOOPSERVE_HAS_ONEDNN) && LOOPSERVE_USE_OPENMP
#define LOOPSERVE_USE_ONEDNN 1
#else
#define LOOPSERVE_USE_ONEDNN 0
#endif

// Between BEGIN and END every function, template and lambda may use the named instruction set, whatever the compiler was told on its command line.
#if LOOPSERVE_X86_64 && defined(__clang__)
#define LOOPSERVE_AVX2_BEGIN _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,f16c\"))), apply_to = function)")
#define LOOPSERVE_AVX512_BEGIN \
  _Pragma("clang attribute push(__attribute__((target(\"avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c\"))), apply_to = function)")
#define LOOPSERVE_TARGET_END _Pragma("clang attribute pop")
#elif LOOPSERVE_X86_64
#define LOOPSERVE_AVX2_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,f16c\")")
#define LOOPSERVE_AVX512_BEGIN \
  _Pragma("GCC push_options") _Pragma("GCC target(\"avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512\")")
#define LOOPSERVE_TARGET_END _Pragma("GCC pop_options")
#endif

// The targets loopserve::compiled and loopserve::compiled_cuda say so: the usual engines are in a library, see serve/compiled.hpp and serve/compiled.cuh.
#ifndef LOOPSERVE_COMPILED
#define LOOPSERVE_COMPILED 0
#endif
#ifndef LOOPSERVE_COMPILED_CUDA
#define LOOPSERVE_COMPILED_CUDA 0
#endif

// PCRE2's header wants to know the width of a character before it is included.
#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif

// Whether the command line itself allows fused multiply-add: then the compiler fuses some of a * b + c and not others, so kernels that promise
// equal bits must ask for it by name.
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define LOOPSERVE_PORTABLE_FMA 1
#else
#define LOOPSERVE_PORTABLE_FMA 0
#endif
