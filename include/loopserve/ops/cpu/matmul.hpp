// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>

#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/eigen_rows.hpp>
#include <loopserve/ops/cpu/few_rows.hpp>
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

}  // namespace detail

/// out = x w^T + bias: x (rows, in), w (out, in) in its stored type, bias (out) or empty, out (rows, out).
///
/// There are two kinds of product, by the number of rows alone: up to `few_rows_limit` rows read the weights once at the memory's speed; more rows run at
/// the processor's, by oneDNN where the build has it, else by Eigen, in tiles whose height depends on the number of rows alone. In each, and for each height,
/// a row's bits depend on nothing but the row and the weights; between them the last bits may differ.
/// Sums are float32; activations are float32 too, except that more than `few_rows_limit` rows meet bf16 weights rounded to bf16 where oneDNN multiplies bf16
/// on this processor (relative error of a factor up to 2^-9), unless the backend was made with `exact_products`. Throws error where oneDNN fails.
inline void matmul(cpu const& b, tensor_view<float const, 2> x, weight_view w, std::span<float const> bias, tensor_view<float, 2> out) {
  check(x.extent(1) == w.cols && out.extent(0) == x.extent(0) && out.extent(1) == w.rows,
        "matmul: x (rows, in), w (out, in), out (rows, out) do not agree");
  check(bias.empty() || static_cast<index_t>(bias.size()) == w.rows, "matmul: the bias must have a value for every output");
  if (out.size() == 0) { return; }
  product const job{w, bias.empty() ? nullptr : bias.data(), out};
  if (x.extent(0) > few_rows_limit) {
    detail::many_rows(b, job, detail::contiguous_rows(x));
    return;
  }
  auto const level = b.isa_level();
  auto* const packed = detail::thread_scratch<float, 3>((x.extent(0) + 3) / 4 * 4 * (w.cols + 16));
  choose(level, baseline::pack_few_rows, avx2::pack_few_rows, avx512::pack_few_rows)(x, packed);
  auto* const kernel = detail::few_rows_kernel_of(level, w.type);
  index_t const block = std::clamp<index_t>(w.rows / (4 * b.threads()), 16, 512);
  bool const small = x.extent(0) * w.rows * w.cols < 65536;
  parallel_for(small ? 1 : b.threads(), (w.rows + block - 1) / block,
               [&](index_t t) { kernel(job, packed, t * block, std::min(w.rows, (t + 1) * block)); });
}

}  // namespace loopserve
