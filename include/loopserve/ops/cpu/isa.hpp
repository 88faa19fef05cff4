// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <loopserve/core/config.hpp>

namespace loopserve {

/// The instruction sets that the cpu backend's kernels are compiled for: on x86-64 `avx2` (with FMA, and F16C, which all of them have) and `avx512` (F, BW, DQ and VL), elsewhere
/// and with LOOPSERVE_PORTABLE `baseline`, which is what the compiler was told on its command line.
enum class isa { baseline, avx2, avx512 };

/// Those that the kernels were compiled for and this machine runs, the largest last; none on an x86-64 processor without AVX2.
inline std::span<isa const> supported_isas() {
#if LOOPSERVE_X86_64
  static constexpr isa all[] = {isa::avx2, isa::avx512};
  bool const avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool const avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  return {all, avx512 ? 2U : avx2 ? 1U : 0U};
#else
  static constexpr isa all[] = {isa::baseline};
  return all;
#endif
}

/// The largest that this machine runs, `baseline` where there is none.
inline isa best_isa() {
  auto const supported = supported_isas();
  return supported.empty() ? isa::baseline : supported.back();
}

/// Picks one of the kernels, which are of the same type: `choose(b.isa_level(), baseline::f, avx2::f, avx512::f)(arguments...)`.
template <class Function>
constexpr Function* choose(isa level, Function* baseline, Function* avx2, Function* avx512) {
  return level == isa::avx512 ? avx512 : level == isa::avx2 ? avx2 : baseline;
}

}  // namespace loopserve
