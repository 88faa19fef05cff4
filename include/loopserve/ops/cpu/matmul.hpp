// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>

#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/few_rows.hpp>
#include <loopserve/ops/cpu/many_rows.hpp>
#include <loopserve/ops/matmul.hpp>

namespace loopserve {

namespace detail {

/// Every row of x contiguous: x itself where it is, otherwise a copy in the calling thread's scratch.
inline tensor_view<float const, 2> contiguous_rows(tensor_view<float const, 2> x) {
  if (x.stride(1) == 1) { return x; }
  float* const copy = thread_scratch<float, 2>(x.size());
  for (index_t r = 0; r < x.extent(0); ++r) {
    for (index_t i = 0; i < x.extent(1); ++i) { copy[r * x.extent(1) + i] = x(r, i); }
  }
  return {copy, x.extents()};
}

template <class X>
void many_rows(cpu const& b, many_rows_job<X> const& job, many_rows_kernels<X> const& kernels) {
  parallel_for(b.threads(), (job.w.rows + kernels.tile_outputs - 1) / kernels.tile_outputs, [&](index_t p) { many_rows_panel(job, kernels, p); });
}

#if LOOPSERVE_X86_64
/// Activations rounded to bf16, in pairs, a row padded with a zero.
inline void many_rows_bf16(cpu const& b, tensor_view<float const, 2> x, weight_view w, float const* bias, tensor_view<float, 2> out) {
  index_t const pairs = (w.cols + 1) / 2;
  // An odd number of cache lines between rows keeps a tile's rows out of each other's cache sets.
  index_t const stride = ((pairs + 15) / 16 | 1) * 16;
  auto* const rounded = thread_scratch<std::uint32_t, 3>(x.extent(0) * stride);
  parallel_for(b.threads(), (x.extent(0) + 31) / 32, [&](index_t t) {
    for (index_t r = 32 * t; r < std::min(x.extent(0), 32 * (t + 1)); ++r) {
      rounded[r * stride + pairs - 1] = 0;
      avx512::convert_row<float, bf16>(&x(r, 0), reinterpret_cast<bf16*>(rounded + r * stride), w.cols);
    }
  });
  many_rows_job<std::uint32_t> const job{rounded, stride, x.extent(0), w, bias, out.data(), out.stride(0), out.stride(1)};
  many_rows(b, job, {avx512_bf16::pack_panel, avx512_bf16::many_rows_step, avx512::write_outputs, avx512::tile_outputs, 2});
}
#endif

}  // namespace detail

/// out = x w^T + bias: x (rows, in), w (out, in) in its stored type, bias (out) or empty, out (rows, out).
///
/// There are two kinds of product, by the number of rows alone: up to `few_rows_limit` rows read the weights once at the memory's speed, more rows
/// run in tiles at the processor's. In both a row's bits depend on nothing but the row and the weights; between the two kinds the last bits differ.
/// Sums are float32; activations are float32 too, except that more than `few_rows_limit` rows meet bf16 weights rounded to bf16 where the processor
/// multiplies bf16 (relative error of a factor up to 2^-9), unless the backend was made with `exact_products`.
inline void matmul(cpu const& b, tensor_view<float const, 2> x, weight_view w, std::span<float const> bias, tensor_view<float, 2> out) {
  check(x.extent(1) == w.cols && out.extent(0) == x.extent(0) && out.extent(1) == w.rows, "matmul: x (rows, in), w (out, in), out (rows, out) do not agree");
  check(bias.empty() || static_cast<index_t>(bias.size()) == w.rows, "matmul: the bias must have a value for every output");
  if (out.size() == 0) { return; }
  auto const* const added = bias.empty() ? nullptr : bias.data();
  auto const level = b.isa_level();
  if (x.extent(0) > few_rows_limit) {
    auto const rows = detail::contiguous_rows(x);
#if LOOPSERVE_X86_64
    if (w.type == element_type::bf16 && w.cols > 0 && b.rounds_activations()) { return detail::many_rows_bf16(b, rows, w, added, out); }
#endif
    many_rows_job<float> const job{rows.data(), rows.stride(0), rows.extent(0), w, added, out.data(), out.stride(0), out.stride(1)};
    return detail::many_rows(b, job, detail::many_rows_kernels_of(level, w.type));
  }
  auto* const packed = detail::thread_scratch<float, 2>((x.extent(0) + 3) / 4 * 4 * (w.cols + 16));
  choose(level, baseline::pack_few_rows, avx2::pack_few_rows, avx512::pack_few_rows)(x, packed);
  few_rows_job const job{packed, x.extent(0), w, added, out.data(), out.stride(0), out.stride(1)};
  auto* const kernel = detail::few_rows_kernel_of(level, w.type);
  index_t const block = 16;
  bool const small = x.extent(0) * w.rows * w.cols < 65536;
  parallel_for(small ? 1 : b.threads(), (w.rows + block - 1) / block,
               [&](index_t t) { kernel(job, t * block, std::min(w.rows, (t + 1) * block)); });
}

}  // namespace loopserve
