// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/config.hpp>

namespace loopserve {

/// The instruction sets that the cpu backend's kernels are compiled for, each including those before it. `baseline` is what the compiler was told
/// on its command line (SSE2 on plain x86-64), `avx2` has FMA and F16C with it, `avx512` is F, BW, DQ and VL.
enum class isa { baseline, avx2, avx512 };

/// The largest that this machine runs.
inline isa best_isa() {
#if LOOPSERVE_X86_64
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    bool const avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    return avx512 ? isa::avx512 : isa::avx2;
  }
#endif
  return isa::baseline;
}

/// Whether products of bf16 numbers have instructions of their own here, so that rounding activations to bf16 buys speed.
inline bool has_bf16_products() {
#if LOOPSERVE_X86_64
  return best_isa() == isa::avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

/// Picks one of three kernels of the same type: `choose(b.isa_level(), baseline::f, avx2::f, avx512::f)(arguments...)`.
template <class Function>
constexpr Function* choose(isa level, Function* baseline, Function* avx2, Function* avx512) {
  return level == isa::avx512 ? avx512 : level == isa::avx2 ? avx2 : baseline;
}

}  // namespace loopserve
