// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <type_traits>

#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/few_rows.hpp>
#include <loopserve/ops/cpu/many_rows.hpp>
#include <loopserve/ops/cpu/onednn_rows.hpp>
#include <loopserve/ops/matmul.hpp>

namespace loopserve {

namespace detail {

/// Every row of x contiguous: x itself where it is, otherwise a copy in the calling thread's scratch.
inline tensor_view<float const, 2> contiguous_rows(tensor_view<float const, 2> x) {
  if (x.stride(1) == 1) { return x; }
  float* const copy = thread_scratch<float, 3>(x.size());
  for (index_t r = 0; r < x.extent(0); ++r) {
    for (index_t i = 0; i < x.extent(1); ++i) { copy[r * x.extent(1) + i] = x(r, i); }
  }
  return {copy, x.extents()};
}

/// oneDNN's tiles where they are to be had, own ones elsewhere. `E` is what activations are rounded to.
template <class E, class X>
void many_rows(cpu const& b, product const& job, tensor_view<float const, 2> x, many_rows_kernels<X> const& kernels) {
#if LOOPSERVE_USE_ONEDNN
  if (b.onednn() && b.isa_level() == isa::avx512 && onednn_takes(job.rows()) && job.w.cols > 0 &&
      many_rows_by_onednn<E>(b, job, x, kernels)) {
    return;
  }
#endif
  tensor_view<X const, 2> rows = [&] {
    if constexpr (std::is_same_v<E, float>) {
      return x;
    } else {
      index_t const steps = (x.extent(1) + kernels.inputs - 1) / kernels.inputs;
      // An odd number of cache lines between rows keeps a tile's rows out of each other's cache sets.
      index_t const stride = ((steps + 15) / 16 | 1) * 16;
      auto const* const rounded = copied_rows<E>(b, x, x.extent(0), stride * kernels.inputs);
      return tensor_view<X const, 2>(reinterpret_cast<X const*>(rounded), {x.extent(0), steps}, {stride, 1});
    }
  }();
  parallel_for(b.threads(), kernels.panels(job), [&](index_t p) { many_rows_panel(job, rows, kernels, p); });
}

}  // namespace detail

/// out = x w^T + bias: x (rows, in), w (out, in) in its stored type, bias (out) or empty, out (rows, out).
///
/// There are three kinds of product, by the number of rows alone: up to `few_rows_limit` rows read the weights once at the memory's speed; more rows run
/// in tiles at the processor's: oneDNN's where the build has it, the processor has AVX-512 and padding to whole tiles of 64 rows adds no more than a
/// quarter, own tiles of six rows otherwise. In each a row's bits depend on nothing but the row and the weights; between them the last bits differ.
/// Sums are float32; activations are float32 too, except that more than `few_rows_limit` rows meet bf16 weights rounded to bf16 where the processor
/// multiplies bf16 (relative error of a factor up to 2^-9), unless the backend was made with `exact_products`. Throws error where oneDNN fails.
inline void matmul(cpu const& b, tensor_view<float const, 2> x, weight_view w, std::span<float const> bias, tensor_view<float, 2> out) {
  check(x.extent(1) == w.cols && out.extent(0) == x.extent(0) && out.extent(1) == w.rows,
        "matmul: x (rows, in), w (out, in), out (rows, out) do not agree");
  check(bias.empty() || static_cast<index_t>(bias.size()) == w.rows, "matmul: the bias must have a value for every output");
  if (out.size() == 0) { return; }
  product const job{w, bias.empty() ? nullptr : bias.data(), out};
  auto const level = b.isa_level();
  if (x.extent(0) > few_rows_limit) {
    auto const rows = detail::contiguous_rows(x);
#if LOOPSERVE_X86_64
    if (w.type == element_type::bf16 && w.cols > 0 && b.rounds_activations()) {
      return detail::many_rows<bf16, std::uint32_t>(
          b, job, rows, {avx512_bf16::pack_panel, avx512_bf16::many_rows_step, avx512::write_outputs, avx512::tile_outputs, 2});
    }
#endif
    return detail::many_rows<float>(b, job, rows, detail::many_rows_kernels_of(level, w.type));
  }
  auto* const packed = detail::thread_scratch<float, 3>((x.extent(0) + 3) / 4 * 4 * (w.cols + 16));
  choose(level, baseline::pack_few_rows, avx2::pack_few_rows, avx512::pack_few_rows)(x, packed);
  auto* const kernel = detail::few_rows_kernel_of(level, w.type);
  index_t const block = std::clamp<index_t>(w.rows / (4 * b.threads()), 16, 512);
  bool const small = x.extent(0) * w.rows * w.cols < 65536;
  parallel_for(small ? 1 : b.threads(), (w.rows + block - 1) / block,
               [&](index_t t) { kernel(job, packed, t * block, std::min(w.rows, (t + 1) * block)); });
}

}  // namespace loopserve
