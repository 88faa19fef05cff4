// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/ops/kept_rows_view.hpp>
#include <loopserve/ops/lanes.hpp>

namespace loopserve {

namespace detail {

/// An unsigned number that orders as the floats do; NaN below everything.
constexpr std::uint32_t ordered_bits(float x) {
  auto const bits = std::bit_cast<std::uint32_t>(x == 0 ? 0.0F : x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0; }
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/// The k best of scores[0 .. n) that exceed `least`, ascending by index: the number found. One pass counts by leading bits, one collects the bin that holds
/// the k-th best, one writes.
inline int best_rows_counted(float const* scores, int n, int k, float least, int* out) {
  constexpr int shift = 20, bins = 1 << (32 - shift);
  std::uint32_t const floor = ordered_bits(least);
  std::vector<int> count(bins, 0);
  int eligible = 0;
  for (int i = 0; i < n; ++i) {
    auto const key = ordered_bits(scores[i]);
    if (key <= floor) { continue; }
    ++count[key >> shift];
    ++eligible;
  }
  k = std::min(k, eligible);
  if (k <= 0) { return 0; }
  int bin = bins - 1, above = 0;  // above: rows in higher bins
  while (above + count[static_cast<std::size_t>(bin)] < k) { above += count[static_cast<std::size_t>(bin--)]; }
  std::vector<std::uint32_t> inside;
  inside.reserve(static_cast<std::size_t>(count[static_cast<std::size_t>(bin)]));
  for (int i = 0; i < n; ++i) {
    auto const key = ordered_bits(scores[i]);
    if (key > floor && static_cast<int>(key >> shift) == bin) { inside.push_back(key); }
  }
  auto const place = inside.begin() + (k - above - 1);
  std::nth_element(inside.begin(), place, inside.end(), [](std::uint32_t x, std::uint32_t y) { return x > y; });
  std::uint32_t const last = *place;
  int equal = k - above - static_cast<int>(std::count_if(inside.begin(), inside.end(), [last](std::uint32_t x) { return x > last; }));
  int found = 0;
  for (int i = 0; i < n && found < k; ++i) {
    auto const key = ordered_bits(scores[i]);
    if (key > last || (key == last && equal-- > 0)) { out[found++] = i; }
  }
  return found;
}

/// The same. Where few of many are wanted, a sample guesses a score that a little more than k exceed, and only those are looked at; a guess that proves too high
/// costs a second look, never a row.
inline int best_rows(float const* scores, int n, int k, float least, int* out) {
  constexpr int stride = 16;
  if (n < 4096 || k > n / 8 || k < stride) { return best_rows_counted(scores, n, k, least, out); }
  std::vector<float> sample;
  sample.reserve(static_cast<std::size_t>(n / stride) + 1);
  for (int i = stride / 2; i < n; i += stride) {
    if (scores[i] > least) { sample.push_back(scores[i]); }
  }
  auto const rank = static_cast<std::size_t>(k / stride + k / (2 * stride) + stride);
  if (sample.size() <= rank) { return best_rows_counted(scores, n, k, least, out); }
  std::nth_element(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(rank), sample.end(), std::greater<>());
  float const guess = sample[rank];
  std::vector<int> rows(static_cast<std::size_t>(n));
  std::vector<float> kept(static_cast<std::size_t>(n));
  int found = 0;
  for (int i = 0; i < n; ++i) {  // no branch: which rows are good is hard to predict
    rows[static_cast<std::size_t>(found)] = i;
    kept[static_cast<std::size_t>(found)] = scores[i];
    found += scores[i] >= guess ? 1 : 0;
  }
  if (found < k) { return best_rows_counted(scores, n, k, least, out); }
  found = best_rows_counted(kept.data(), found, k, least, out);
  for (int i = 0; i < found; ++i) { out[i] = rows[static_cast<std::size_t>(out[i])]; }
  return found;
}

}  // namespace detail

/// The `k` best scores of each row that exceed `least`, as ascending lists; ties go to the lower index, NaN is never chosen.
/// scores (kv_heads, n), the last axis dense; out has room for min(k, n) rows of each head.
inline void top_k(reference const& b, tensor_view<float const, 2> scores, int k, float least, kept_rows_view out) {
  parallel_for(threads_for(b, scores.size()), scores.extent(0), [&](index_t h) {
    out.counts[h] = detail::best_rows(scores.data() + h * scores.stride(0), static_cast<int>(scores.extent(1)), k, least, out.rows + h * out.stride);
  });
}

/// Lifts the first `first` and the last `last` scores of each row above all others.
inline void force_ends(reference const&, tensor_view<float, 2> scores, int first, int last) {
  auto const n = static_cast<int>(scores.extent(1));
  for (index_t h = 0; h < scores.extent(0); ++h) {
    for (int i = 0; i < std::min(first, n); ++i) { scores(h, i) = std::numeric_limits<float>::infinity(); }
    for (int i = std::max(0, n - last); i < n; ++i) { scores(h, i) = std::numeric_limits<float>::infinity(); }
  }
}

/// Lifts the scores of `rows` above all others.
inline void force_rows(reference const&, tensor_view<float, 2> scores, kept_rows_view rows) {
  for (int h = 0; h < rows.kv_heads; ++h) {
    for (int i = 0; i < rows.counts[h]; ++i) { scores(h, rows.rows[h * rows.stride + i]) = std::numeric_limits<float>::infinity(); }
  }
}

/// Copies lists; `to` has room for them.
inline void copy_kept(reference const&, kept_rows_view from, kept_rows_view to) {
  for (int h = 0; h < from.kv_heads; ++h) {
    std::copy_n(from.rows + h * from.stride, from.counts[h], to.rows + h * to.stride);
    to.counts[h] = from.counts[h];
  }
}

}  // namespace loopserve
