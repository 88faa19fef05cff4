// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/simd.hpp>
#include <loopserve/ops/top_k.hpp>

#if LOOPSERVE_X86_64
LOOPSERVE_AVX512_BEGIN
namespace loopserve::avx512 {

/// detail::pick_rows, 16 scores at a time. Older instruction sets have nothing to move lanes together with.
inline int pick_rows(float const* scores, int n, float least, float* kept, int* rows) {
  auto const least_of_all = _mm512_set1_ps(least);
  auto places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  int found = 0;
  for (int i = 0; i < n; i += 16) {
    auto const inside = static_cast<__mmask16>(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
    auto const values = _mm512_maskz_loadu_ps(inside, scores + i);
    auto const good = _mm512_mask_cmp_ps_mask(inside, values, least_of_all, _CMP_GE_OQ);
    _mm512_storeu_ps(kept + found, _mm512_maskz_compress_ps(good, values));
    _mm512_storeu_si512(rows + found, _mm512_maskz_compress_epi32(good, places));
    places = _mm512_add_epi32(places, _mm512_set1_epi32(16));
    found += __builtin_popcount(good);
  }
  return found;
}

}  // namespace loopserve::avx512
LOOPSERVE_TARGET_END
#else
namespace loopserve::avx512 {
using detail::pick_rows;
}
#endif

namespace loopserve {

/// The cpu backend's: the same rows, and the many that are not chosen are passed over by vectors.
inline void top_k(cpu const& b, tensor_view<float const, 2> scores, int k, float least, kept_rows_view out) {
  detail::top_k_by(b, scores, k, least, out, b.isa_level() == isa::avx512 ? avx512::pick_rows : detail::pick_rows);
}

}  // namespace loopserve
