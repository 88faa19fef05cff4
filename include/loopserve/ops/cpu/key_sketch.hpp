// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <loopserve/core/buffer.hpp>
#include <loopserve/core/read_ahead.hpp>
#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/product.hpp>
#include <loopserve/ops/cpu/simd.hpp>
#include <loopserve/ops/key_sketch.hpp>

#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/key_sketch.inc>
#include <loopserve/ops/cpu/each_isa.hpp>

#if LOOPSERVE_X86_64
LOOPSERVE_AVX512_BEGIN
namespace loopserve::avx512 {
#include <loopserve/ops/cpu/kernels/key_sketch_tables.inc>
}  // namespace loopserve::avx512
LOOPSERVE_TARGET_END
namespace loopserve::detail {
inline constexpr bool sketch_tables = true;  ///< AVX-512 looks sums up
}
#else
namespace loopserve::avx512 {
inline constexpr auto* sketch_group_by_tables = baseline::sketch_group;
}
namespace loopserve::detail {
inline constexpr bool sketch_tables = false;
}
#endif

namespace loopserve {

namespace detail {

inline constexpr int sketch_split = 2048;  ///< tokens of a work unit; a multiple of the group
inline constexpr int groups_ahead = 2;     ///< asked for before they are scored

/// One KV head's queries as rows, and the stretch of the context that a unit scores.
template <class Element>
struct sketch_unit {
  tensor_view<float const, 3> q;
  kv_view<Element> kv;
  key_sketch_view sketch;
  int kv_head;
  int first;
  int count;
};

/// Asks for a group's bounds and codes: a KV head's lie too far apart for the processor to guess.
[[gnu::always_inline]] inline void read_group_ahead(key_sketch_view sketch, int g, int h) {
  read_ahead(sketch.lo_of(g, h), index_t{sketch.head_dim} * static_cast<int>(sizeof(f16)));
  read_ahead(sketch.step_of(g, h), index_t{sketch.head_dim} * static_cast<int>(sizeof(f16)));
  read_ahead(sketch.codes_of(g, h), index_t{sketch.words()} * sketch_group * static_cast<int>(sizeof(std::uint32_t)));
}

/// weights (rows, stride) = 2^(score - the stretch's largest score of that row); tops and sums (rows) are that score and the weights' sum.
template <class Element>
void score_sketch_unit(cpu const& b, sketch_unit<Element> const& u, float* weights, index_t stride, float* tops, float* sums) {
  auto const level = b.isa_level();
  auto* const score_group = choose(level, baseline::sketch_group, avx2::sketch_group, avx512::sketch_group_by_tables);
  auto* const key_dot = choose(level, baseline::dot<float, Element>, avx2::dot<float, Element>, avx512::dot<float, Element>);
  auto* const weigh = choose(level, baseline::weigh_row, avx2::weigh_row, avx512::weigh_row);
  int const dim = u.kv.head_dim, group = static_cast<int>(u.q.extent(1)) / u.kv.kv_heads, rows = static_cast<int>(u.q.extent(0)) * group;
  int const lanes = level == isa::avx512 ? avx512::width : level == isa::avx2 ? avx2::width : baseline::width;
  index_t const size = index_t{rows} * dim;
  float* const q = thread_scratch<float, 6>(2 * size + index_t{rows} * lanes + 3 * (dim + 3));
  float *const placed = q + size, *const highest = placed + size, *const scratch = highest + index_t{rows} * lanes;
  auto const scale = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(dim)));
  int const in_half = 16 / u.sketch.bits;
  bool const in_place = !(sketch_tables && level == isa::avx512);
  for (int r = 0; r < rows; ++r) {
    float const* const from = &u.q(r / group, index_t{u.kv_head} * group + r % group, 0);
    for (int d = 0; d < dim; ++d) {
      q[r * dim + d] = scale * from[d];
      placed[r * dim + d] = in_place ? q[r * dim + d] / static_cast<float>(1 << (u.sketch.bits * (d % in_half))) : q[r * dim + d];
    }
  }
  std::fill_n(highest, rows * lanes, -1e30F);
  int const end = u.first + u.count, sketched = std::min(end, u.sketch.groups * sketch_group);
  int t = u.first;
  for (; t < sketched; t += sketch_group) {
    int const g = t / sketch_group;
    if (g + groups_ahead < u.sketch.groups) { read_group_ahead(u.sketch, g + groups_ahead, u.kv_head); }
    score_group(u.sketch.codes_of(g, u.kv_head), u.sketch.lo_of(g, u.kv_head), u.sketch.step_of(g, u.kv_head), u.sketch.bits, q, placed, rows, dim,
                scratch, weights + (t - u.first), stride, highest);
  }
  for (; t < end; ++t) {
    for (int r = 0; r < rows; ++r) {
      float const score = key_dot(q + index_t{r} * dim, u.kv.key(t, u.kv_head), dim);
      weights[r * stride + (t - u.first)] = score;
      highest[r * lanes] = std::max(highest[r * lanes], score);
    }
  }
  for (int r = 0; r < rows; ++r) {
    tops[r] = *std::max_element(highest + r * lanes, highest + (r + 1) * lanes);
    sums[r] = weigh(weights + r * stride, u.count, tops[r]);
  }
}

}  // namespace detail

/// The cpu backend's: float32, in stretches of 2,048 tokens, so that few KV heads keep all threads busy; their softmaxes are joined in order.
template <class Element>
void sketch_scores(cpu const& b, tensor_view<float const, 3> q, kv_view<Element> kv, key_sketch_view sketch, tensor_view<float, 2> scores) {
  int const n = kv.length(), rows = static_cast<int>(q.extent(0) * q.extent(1)) / kv.kv_heads;
  if (n == 0) { return; }
  int const splits = (n + detail::sketch_split - 1) / detail::sketch_split;
  index_t const units = index_t{kv.kv_heads} * splits;
  index_t const stride = detail::sketch_split;
  std::vector<float> tops(static_cast<std::size_t>(units * rows)), sums(tops.size());
  auto const count_of = [&](int split) { return std::min(detail::sketch_split, n - split * detail::sketch_split); };
  auto const weigh = [&](index_t u, float* weights) {
    int const split = static_cast<int>(u % splits);
    detail::sketch_unit<Element> const unit{q, kv, sketch, static_cast<int>(u / splits), split * detail::sketch_split, count_of(split)};
    detail::score_sketch_unit(b, unit, weights, stride, tops.data() + u * rows, sums.data() + u * rows);
  };
  auto* const add = choose(b.isa_level(), baseline::add_rows, avx2::add_rows, avx512::add_rows);
  auto const join = [&](index_t u, float const* weights) {
    index_t const first_unit = u / splits * splits;
    int const split = static_cast<int>(u % splits);
    float* const factors = detail::thread_scratch<float, 7>(rows);
    for (int r = 0; r < rows; ++r) {
      auto const at = [&](index_t unit) { return static_cast<std::size_t>(unit * rows + r); };
      float top = tops[at(first_unit)];
      for (index_t s = first_unit; s < first_unit + splits; ++s) { top = std::max(top, tops[at(s)]); }
      float total = 0;
      for (index_t s = first_unit; s < first_unit + splits; ++s) { total += std::exp2(tops[at(s)] - top) * sums[at(s)]; }
      factors[r] = std::exp2(tops[at(u)] - top) / total;
    }
    add(factors, weights, rows, stride, &scores(u / splits, index_t{split} * detail::sketch_split), count_of(split));
  };
  index_t const size = rows * stride;
  if (kv.kv_heads % b.threads() == 0) {  // a KV head a thread: they need not wait for each other half-way, and the weights stay near
    parallel_for(b.threads(), kv.kv_heads, [&](index_t h) {
      float* const weights = detail::thread_scratch<float, 8>(splits * size);
      for (int s = 0; s < splits; ++s) { weigh(h * splits + s, weights + s * size); }
      for (int s = 0; s < splits; ++s) { join(h * splits + s, weights + s * size); }
    });
    return;
  }
  host_buffer<float> weights(units * size);
  parallel_for(b.threads(), units, [&](index_t u) { weigh(u, weights.data() + u * size); });
  parallel_for(b.threads(), units, [&](index_t u) { join(u, weights.data() + u * size); });
}

}  // namespace loopserve
