// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstring>
#include <limits>

#include <loopserve/core/config.hpp>
#include <loopserve/core/element.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/ops/cpu/isa.hpp>

#if LOOPSERVE_X86_64
#include <immintrin.h>
#endif

/// The vector layer of the cpu backend: one set of names (`vec`, `load`, `fma`, `sum`, ...; kernels/simd.inc) in the namespaces `avx2` and `avx512`, or
/// `baseline` alone. Kernels are written once over these names, in a file that each_isa.hpp reads for each of them; how, stands there.
///
/// What differs between instruction sets stands here: the width, the sum of the lanes, the fused multiply-add, and the f16 conversions.

#if LOOPSERVE_X86_64

LOOPSERVE_AVX2_BEGIN
namespace loopserve::avx2 {

inline constexpr int width = 8;
using floats = float __attribute__((vector_size(32)));
using words = std::uint32_t __attribute__((vector_size(32)));
using ints = std::int32_t __attribute__((vector_size(32)));

[[gnu::always_inline]] inline floats interleave_low(floats a, floats b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
[[gnu::always_inline]] inline floats interleave_high(floats a, floats b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

[[gnu::always_inline]] inline float sum_native(floats a) {
  auto const h = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
  auto const q = h + __builtin_shufflevector(h, h, 2, 3, 2, 3);
  return q[0] + q[1];
}

[[gnu::always_inline]] inline floats fma_native(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }
[[gnu::always_inline]] inline words widen(std::uint16_t const* p) {
  return reinterpret_cast<words>(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<__m128i const*>(p))));
}
[[gnu::always_inline]] inline ints widen(signed char const* p) {
  return reinterpret_cast<ints>(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<__m128i const*>(p))));
}
[[gnu::always_inline]] inline void narrow(std::uint16_t* p, words a) {
  auto const packed = _mm256_packus_epi32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(a));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}
[[gnu::always_inline]] inline floats from_f16_native(f16 const* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<__m128i const*>(p)));
}
[[gnu::always_inline]] inline float f16_native(unsigned char const* p) { return _cvtsh_ss(static_cast<unsigned short>(p[0] | (p[1] << 8))); }
[[gnu::always_inline]] inline void to_f16_native(f16* p, floats a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

}  // namespace loopserve::avx2
LOOPSERVE_TARGET_END

LOOPSERVE_AVX512_BEGIN
namespace loopserve::avx512 {

inline constexpr int width = 16;
using floats = float __attribute__((vector_size(64)));
using words = std::uint32_t __attribute__((vector_size(64)));
using ints = std::int32_t __attribute__((vector_size(64)));

[[gnu::always_inline]] inline floats interleave_low(floats a, floats b) { return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
[[gnu::always_inline]] inline floats interleave_high(floats a, floats b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

[[gnu::always_inline]] inline float sum_native(floats a) {
  auto const e = __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15);
  auto const h = __builtin_shufflevector(e, e, 0, 1, 2, 3) + __builtin_shufflevector(e, e, 4, 5, 6, 7);
  auto const q = h + __builtin_shufflevector(h, h, 2, 3, 2, 3);
  return q[0] + q[1];
}

[[gnu::always_inline]] inline floats fma_native(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
// The masked forms with all lanes set are the plain instructions; gcc 12 warns of the plain forms' undefined source.
[[gnu::always_inline]] inline words widen(std::uint16_t const* p) {
  return reinterpret_cast<words>(_mm512_maskz_cvtepu16_epi32(static_cast<__mmask16>(-1), _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p))));
}
[[gnu::always_inline]] inline ints widen(signed char const* p) {
  return reinterpret_cast<ints>(_mm512_maskz_cvtepi8_epi32(static_cast<__mmask16>(-1), _mm_loadu_si128(reinterpret_cast<__m128i const*>(p))));
}
[[gnu::always_inline]] inline void narrow(std::uint16_t* p, words a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_maskz_cvtepi32_epi16(static_cast<__mmask16>(-1), reinterpret_cast<__m512i>(a)));
}
[[gnu::always_inline]] inline floats from_f16_native(f16 const* p) {
  return _mm512_maskz_cvtph_ps(static_cast<__mmask16>(-1), _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p)));
}
[[gnu::always_inline]] inline float f16_native(unsigned char const* p) { return _cvtsh_ss(static_cast<unsigned short>(p[0] | (p[1] << 8))); }
[[gnu::always_inline]] inline void to_f16_native(f16* p, floats a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_maskz_cvtps_ph(static_cast<__mmask16>(-1), a, _MM_FROUND_TO_NEAREST_INT));
}

}  // namespace loopserve::avx512
LOOPSERVE_TARGET_END

#else

namespace loopserve::baseline {

inline constexpr int width = 4;
using floats = float __attribute__((vector_size(16)));
using words = std::uint32_t __attribute__((vector_size(16)));
using ints = std::int32_t __attribute__((vector_size(16)));

/// The lanes of the lower (upper) halves of a and b in turn.
[[gnu::always_inline]] inline floats interleave_low(floats a, floats b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
[[gnu::always_inline]] inline floats interleave_high(floats a, floats b) {
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}

/// The sum of the lanes, always in the same order: lane i and lane i + half, then halves again.
[[gnu::always_inline]] inline float sum_native(floats a) { return (a[0] + a[2]) + (a[1] + a[3]); }

[[gnu::always_inline]] inline floats fma_native(floats a, floats b, floats c) {
#if LOOPSERVE_PORTABLE_FMA
  return floats{__builtin_fmaf(a[0], b[0], c[0]), __builtin_fmaf(a[1], b[1], c[1]), __builtin_fmaf(a[2], b[2], c[2]), __builtin_fmaf(a[3], b[3], c[3])};
#else
  return a * b + c;
#endif
}
/// Widening loads and narrowing stores of 16-bit words and bytes. (`__builtin_convertvector` does this too, but gcc 12 splits it in halves.)
[[gnu::always_inline]] inline words widen(std::uint16_t const* p) { return words{p[0], p[1], p[2], p[3]}; }
[[gnu::always_inline]] inline ints widen(signed char const* p) { return ints{p[0], p[1], p[2], p[3]}; }
[[gnu::always_inline]] inline void narrow(std::uint16_t* p, words a) {
  for (int i = 0; i < width; ++i) { p[i] = static_cast<std::uint16_t>(a[i]); }
}
[[gnu::always_inline]] inline floats from_f16_native(f16 const* p) { return floats{p[0], p[1], p[2], p[3]}; }
/// The f16 in two bytes, the lower first.
[[gnu::always_inline]] inline float f16_native(unsigned char const* p) { return detail::f16_to_float(static_cast<std::uint16_t>(p[0] | (p[1] << 8))); }
[[gnu::always_inline]] inline void to_f16_native(f16* p, floats a) {
  for (int i = 0; i < width; ++i) { p[i] = f16(a[i]); }
}

}  // namespace loopserve::baseline

#endif

#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/simd.inc>
#include <loopserve/ops/cpu/each_isa.hpp>
#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/rows.inc>
#include <loopserve/ops/cpu/each_isa.hpp>
