// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/buffer.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/ops/kept_rows_view.hpp>
#include <loopserve/ops/lanes.hpp>

namespace loopserve {

namespace detail {

/// An unsigned number that orders as the floats do; NaN below everything. No branches here and below: what comes next is hard to predict.
constexpr std::uint32_t ordered_bits(float x) {
  auto const bits = std::bit_cast<std::uint32_t>(x), size = bits & 0x7fffffffu;
  auto const flipped = bits ^ (static_cast<std::uint32_t>(static_cast<std::int32_t>(bits) >> 31) | 0x80000000u);
  return size > 0x7f800000u ? 0 : size == 0 ? 0x80000000u : flipped;
}

/// The k best of scores[0 .. n) that exceed `least`, ascending by index: the number found. One pass counts by leading bits, one collects the bin that holds
/// the k-th best, one writes.
inline int best_rows_counted(float const* scores, int n, int k, float least, int* out) {
  constexpr int shift = 20, bins = 1 << (32 - shift);
  std::uint32_t const floor = ordered_bits(least);
  std::vector<int> count(bins, 0);
  host_buffer<std::uint32_t> keys(n), inside(n);
  int eligible = 0;
  for (int i = 0; i < n; ++i) {
    auto const key = ordered_bits(scores[i]);
    keys[i] = key > floor ? key : 0;
    count[keys[i] >> shift] += key > floor ? 1 : 0;
    eligible += key > floor ? 1 : 0;
  }
  k = std::min(k, eligible);
  if (k <= 0) { return 0; }
  std::uint32_t bin = bins - 1;
  int above = 0;  // rows in higher bins
  while (above + count[bin] < k) { above += count[bin--]; }
  int held = 0;
  for (int i = 0; i < n; ++i) {
    inside[held] = keys[i];
    held += keys[i] != 0 && keys[i] >> shift == bin ? 1 : 0;
  }
  auto const place = inside.data() + (k - above - 1);
  std::nth_element(inside.data(), place, inside.data() + held, std::greater<>());
  std::uint32_t const last = *place;
  int equal = k - above - static_cast<int>(std::count_if(inside.data(), inside.data() + held, [last](std::uint32_t x) { return x > last; }));
  int found = 0;
  for (int i = 0; i < n && found < k; ++i) {
    out[found] = i;
    found += static_cast<int>(keys[i] > last) + static_cast<int>((keys[i] == last) & (equal > 0));
    equal -= static_cast<int>(keys[i] == last);
  }
  return found;
}

/// Writes the scores that are at least `least` to `kept` and their places to `rows`, which have room for one more than all; returns their number.
inline int pick_rows(float const* scores, int n, float least, float* kept, int* rows) {
  int found = 0;
  for (int i = 0; i < n; ++i) {
    rows[found] = i;
    kept[found] = scores[i];
    found += scores[i] >= least ? 1 : 0;
  }
  return found;
}

/// The same. Where few of many are wanted, a sample guesses a score that a little more than k exceed, and only those are looked at; a guess that proves too high
/// costs a second look, never a row.
inline int best_rows(float const* scores, int n, int k, float least, int* out) {
  constexpr int stride = 32;
  if (n < 4096 || k > n / 8 || k < stride) { return best_rows_counted(scores, n, k, least, out); }
  std::vector<float> sample;
  sample.reserve(static_cast<std::size_t>(n / stride) + 1);
  for (int i = stride / 2; i < n; i += stride) {
    if (scores[i] > least) { sample.push_back(scores[i]); }
  }
  auto const rank = static_cast<std::size_t>(k / stride + k / (2 * stride) + 16);
  if (sample.size() <= rank) { return best_rows_counted(scores, n, k, least, out); }
  std::nth_element(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(rank), sample.end(), std::greater<>());
  host_buffer<int> rows(n + 1);
  host_buffer<float> kept(n + 1);
  int found = pick_rows(scores, n, sample[rank], kept.data(), rows.data());
  if (found < k) { return best_rows_counted(scores, n, k, least, out); }
  found = best_rows_counted(kept.data(), found, k, least, out);
  for (int i = 0; i < found; ++i) { out[i] = rows[out[i]]; }
  return found;
}

/// top_k, each row by `best`, which is called as best_rows is.
template <class Best>
void top_k_by(reference const& b, tensor_view<float const, 2> scores, int k, float least, kept_rows_view out, Best&& best) {
  parallel_for(threads_for(b, scores.size()), scores.extent(0), [&](index_t h) {
    out.counts[h] = best(scores.data() + h * scores.stride(0), static_cast<int>(scores.extent(1)), k, least, out.rows + h * out.stride);
  });
}

}  // namespace detail

/// The `k` best scores of each row that exceed `least`, as ascending lists; ties go to the lower index, NaN is never chosen.
/// scores (kv_heads, n), the last axis dense; out has room for min(k, n) rows of each head.
inline void top_k(reference const& b, tensor_view<float const, 2> scores, int k, float least, kept_rows_view out) {
  detail::top_k_by(b, scores, k, least, out, detail::best_rows);
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
