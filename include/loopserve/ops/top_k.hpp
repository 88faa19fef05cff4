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
  // No branches below: which rows are good is hard to predict.
  std::vector<std::uint32_t> inside(static_cast<std::size_t>(count[static_cast<std::size_t>(bin)]) + 1);
  std::size_t held = 0;
  for (int i = 0; i < n; ++i) {
    auto const key = ordered_bits(scores[i]);
    inside[held] = key;
    held += key > floor && static_cast<int>(key >> shift) == bin ? 1 : 0;
  }
  inside.pop_back();
  auto const place = inside.begin() + (k - above - 1);
  std::nth_element(inside.begin(), place, inside.end(), [](std::uint32_t x, std::uint32_t y) { return x > y; });
  std::uint32_t const last = *place;
  int equal = k - above - static_cast<int>(std::count_if(inside.begin(), inside.end(), [last](std::uint32_t x) { return x > last; }));
  int found = 0;
  for (int i = 0; i < n && found < k; ++i) {
    auto const key = ordered_bits(scores[i]);
    out[found] = i;
    found += key > last || (key == last && equal > 0) ? 1 : 0;
    equal -= key == last ? 1 : 0;
  }
  return found;
}

/// Writes the scores that are at least `least` to `kept` and their places to `rows`, which have room for all and 16 more; returns their number.
inline int pick_rows(float const* scores, int n, float least, float* kept, int* rows) {
  int found = 0;
  for (int i = 0; i < n; ++i) {
    rows[found] = i;
    kept[found] = scores[i];
    found += scores[i] >= least ? 1 : 0;
  }
  return found;
}

/// The same. Where few of many are wanted, a sample guesses a score that a little more than k exceed, and only those, which `pick` finds, are looked at; a guess
/// that proves too high costs a second look, never a row.
template <class Pick>
int best_rows(float const* scores, int n, int k, float least, int* out, Pick* pick) {
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
  host_buffer<int> rows(n + 16);
  host_buffer<float> kept(n + 16);
  int found = pick(scores, n, sample[rank], kept.data(), rows.data());
  if (found < k) { return best_rows_counted(scores, n, k, least, out); }
  found = best_rows_counted(kept.data(), found, k, least, out);
  for (int i = 0; i < found; ++i) { out[i] = rows[out[i]]; }
  return found;
}

template <class Pick>
void top_k_by(reference const& b, tensor_view<float const, 2> scores, int k, float least, kept_rows_view out, Pick* pick) {
  parallel_for(threads_for(b, scores.size()), scores.extent(0), [&](index_t h) {
    out.counts[h] = best_rows(scores.data() + h * scores.stride(0), static_cast<int>(scores.extent(1)), k, least, out.rows + h * out.stride, pick);
  });
}

}  // namespace detail

/// The `k` best scores of each row that exceed `least`, as ascending lists; ties go to the lower index, NaN is never chosen.
/// scores (kv_heads, n), the last axis dense; out has room for min(k, n) rows of each head.
inline void top_k(reference const& b, tensor_view<float const, 2> scores, int k, float least, kept_rows_view out) {
  detail::top_k_by(b, scores, k, least, out, detail::pick_rows);
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
