// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/product.hpp>
#include <loopserve/ops/cpu/simd.hpp>
#include <loopserve/ops/top_k.hpp>

#if LOOPSERVE_X86_64
LOOPSERVE_AVX512_BEGIN
namespace loopserve::avx512 {

/// detail::ordered_bits of 16 scores, 0 where `inside` says that there is none or where they do not exceed `floor`.
[[gnu::always_inline]] inline __m512i ordered_keys(__mmask16 inside, float const* scores, __m512i floor) {
  constexpr auto every = static_cast<__mmask16>(-1);
  auto const bits = _mm512_maskz_loadu_epi32(inside, scores);
  auto const size = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
  auto const signs = _mm512_or_si512(_mm512_maskz_srai_epi32(every, bits, 31), _mm512_set1_epi32(static_cast<int>(0x80000000u)));
  auto const flipped = _mm512_mask_mov_epi32(_mm512_xor_si512(bits, signs), _mm512_testn_epi32_mask(size, size), _mm512_set1_epi32(static_cast<int>(0x80000000u)));
  auto const numbers = _mm512_mask_cmple_epu32_mask(inside, size, _mm512_set1_epi32(0x7f800000));
  return _mm512_maskz_mov_epi32(_mm512_mask_cmpgt_epu32_mask(numbers, flipped, floor), flipped);
}

/// A number that exactly k of the keys reach, or where equal keys forbid that, the k-th largest of them, found bit by bit. `keys` are whole vectors.
inline std::uint32_t kth_largest(std::uint32_t const* keys, int vectors, int k) {
  std::uint32_t found = 0;
  for (std::uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
    auto const tried = _mm512_set1_epi32(static_cast<int>(found | bit));
    int count = 0;
    for (int v = 0; v < vectors; ++v) { count += __builtin_popcount(_mm512_cmpge_epu32_mask(_mm512_loadu_si512(keys + 16 * v), tried)); }
    if (count >= k) { found |= bit; }
    if (count == k) { break; }
  }
  return found;
}

/// Writes the keys that are at least `least` and their places, in order, and returns their number; `kept` and `rows` have room for 16 more than there are.
inline int pick_keys(float const* scores, int n, __m512i floor, std::uint32_t least, std::uint32_t* kept, int* rows) {
  auto const bound = _mm512_set1_epi32(static_cast<int>(least));
  auto places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  int found = 0;
  for (int i = 0; i < n; i += 16) {
    auto const inside = static_cast<__mmask16>(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
    auto const keys = ordered_keys(inside, scores + i, floor);
    auto const good = _mm512_mask_cmpge_epu32_mask(_mm512_test_epi32_mask(keys, keys), keys, bound);
    _mm512_storeu_si512(kept + found, _mm512_maskz_compress_epi32(good, keys));
    _mm512_storeu_si512(rows + found, _mm512_maskz_compress_epi32(good, places));
    places = _mm512_add_epi32(places, _mm512_set1_epi32(16));
    found += __builtin_popcount(good);
  }
  return found;
}

/// detail::best_rows, 16 scores at a time. Where few of many are wanted, a sample guesses a key that a little more than k reach, and only those are looked at
/// again; a guess that proves too high costs a second look, never a row. keys and rows are scratch for n + 32. Older instruction sets have nothing to move lanes
/// together with.
inline int best_rows(float const* scores, int n, int k, float least, int* out, std::uint32_t* keys, int* rows) {
  constexpr int stride = 32;
  auto const floor = _mm512_set1_epi32(static_cast<int>(loopserve::detail::ordered_bits(least)));
  std::uint32_t guess = 0;
  if (n >= 4096 && k <= n / 8 && k >= stride) {
    float sample[16] = {};
    int const vectors = n / (16 * stride), rank = k / stride + k / (2 * stride) + 16;
    for (int v = 0; v < vectors; ++v) {
      for (int i = 0; i < 16; ++i) { sample[i] = scores[(16 * v + i) * stride + stride / 2]; }
      _mm512_storeu_si512(keys + 16 * v, ordered_keys(static_cast<__mmask16>(-1), sample, floor));
    }
    guess = kth_largest(keys, vectors, rank);
  }
  int found = pick_keys(scores, n, floor, guess, keys, rows);
  if (found < k && guess > 0) { found = pick_keys(scores, n, floor, 0, keys, rows); }
  if (k <= 0 || found == 0) { return 0; }
  if (found <= k) {
    for (int i = 0; i < found; ++i) { out[i] = rows[i]; }
    return found;
  }
  _mm512_storeu_si512(keys + found, _mm512_setzero_si512());
  int const vectors = (found + 15) / 16;
  std::uint32_t const last = kth_largest(keys, vectors, k);
  int above = 0;
  auto const bound = _mm512_set1_epi32(static_cast<int>(last));
  for (int v = 0; v < vectors; ++v) { above += __builtin_popcount(_mm512_cmpgt_epu32_mask(_mm512_loadu_si512(keys + 16 * v), bound)); }
  int equal = k - above, written = 0;  // of those that equal the last, the first ones
  for (int v = 0; v < vectors; ++v) {
    auto const these = _mm512_loadu_si512(keys + 16 * v);
    auto good = _mm512_cmpgt_epu32_mask(these, bound);
    for (auto ties = _mm512_cmpeq_epu32_mask(these, bound); ties != 0 && equal > 0; --equal) {
      auto const lowest = static_cast<__mmask16>(ties & (~ties + 1));
      good = static_cast<__mmask16>(good | lowest);
      ties = static_cast<__mmask16>(ties ^ lowest);
    }
    _mm512_mask_compressstoreu_epi32(out + written, good, _mm512_loadu_si512(rows + 16 * v));
    written += __builtin_popcount(good);
  }
  return written;
}

}  // namespace loopserve::avx512
LOOPSERVE_TARGET_END
#endif

namespace loopserve {

/// The cpu backend's: the same rows, found by vectors where the processor can move lanes together.
inline void top_k(cpu const& b, tensor_view<float const, 2> scores, int k, float least, kept_rows_view out) {
#if LOOPSERVE_X86_64
  if (b.isa_level() == isa::avx512) {
    return detail::top_k_by(b, scores, k, least, out, [](float const* of, int n, int wanted, float bound, int* best) {
      return avx512::best_rows(of, n, wanted, bound, best, detail::thread_scratch<std::uint32_t, 9>(n + 32), detail::thread_scratch<int, 9>(n + 32));
    });
  }
#endif
  detail::top_k_by(b, scores, k, least, out, detail::best_rows);
}

}  // namespace loopserve
