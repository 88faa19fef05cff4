// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>

#include <loopserve/core/parallel.hpp>
#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/product.hpp>
#include <loopserve/ops/cpu/weight_row.hpp>

namespace loopserve {

inline constexpr int many_rows_tile = 6;         ///< rows whose sums lie in registers together
inline constexpr index_t many_rows_block = 768;  ///< rows whose sums lie in the second-level cache together

/// Bytes of a panel of weights: it streams from the second-level cache, which costs nothing next to 24 multiplications a load of four vectors, and
/// the longer the panel the fewer times sums are loaded and stored (measured: 128 KiB is 5 to 10 % ahead of 32 KiB).
inline constexpr index_t panel_bytes = 131072;

}  // namespace loopserve

#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/many_rows.inc>
#include <loopserve/ops/cpu/each_isa.hpp>

#if LOOPSERVE_X86_64
LOOPSERVE_AVX512_BF16_BEGIN
namespace loopserve::avx512_bf16 {
using avx512::floats;
using avx512::tile_outputs;
using avx512::tile_vectors;
using avx512::transpose;
using avx512::vec;
using avx512::width;
using avx512::zero;
#include <loopserve/ops/cpu/kernels/many_rows_bf16.inc>
}  // namespace loopserve::avx512_bf16
LOOPSERVE_TARGET_END
#endif

namespace loopserve::detail {

/// How a product of many rows is carried out: `X` is what a row of activations and a panel of weights consist of (a float, or two bf16).
template <class X>
struct many_rows_kernels {
  void (*pack)(weight_view w, index_t output, index_t count, index_t first, index_t last, X* panel);
  void (*step)(X const* const* rows, X const* panel, index_t depth, float* sums);
  void (*write)(float const* sums, float const* bias, float* out, index_t step, index_t count);
  int tile_outputs;
  int inputs;  ///< in an X

  index_t panels(product const& job) const { return (job.w.rows + tile_outputs - 1) / tile_outputs; }
};

template <class E>
many_rows_kernels<float> many_rows_kernels_for(isa level) {
  return {choose(level, baseline::pack_panel<E>, avx2::pack_panel<E>, avx512::pack_panel<E>),
          choose(level, baseline::many_rows_step, avx2::many_rows_step, avx512::many_rows_step),
          choose(level, baseline::write_outputs, avx2::write_outputs, avx512::write_outputs),
          level == isa::avx512 ? avx512::tile_outputs
          : level == isa::avx2 ? avx2::tile_outputs
                               : baseline::tile_outputs,
          1};
}

inline many_rows_kernels<float> many_rows_kernels_of(isa level, element_type type) {
  switch (type) {
    case element_type::f32: return many_rows_kernels_for<float>(level);
    case element_type::f16: return many_rows_kernels_for<f16>(level);
    case element_type::bf16: return many_rows_kernels_for<bf16>(level);
    case element_type::q8_0: return many_rows_kernels_for<q8_0_blocks>(level);
  }
  return {};
}

/// The rows of x as E in the calling thread's scratch, `stride` apart; what x does not fill of (rows, stride) is zero.
template <class E>
E* copied_rows(cpu const& b, tensor_view<float const, 2> x, index_t rows, index_t stride) {
  auto* const convert = choose(b.isa_level(), baseline::convert_row<float, E>, avx2::convert_row<float, E>, avx512::convert_row<float, E>);
  E* const copy = thread_scratch<E, 2>(rows * stride);
  index_t const task = 32;
  parallel_for(b.threads(), (rows + task - 1) / task, [&](index_t t) {
    for (index_t r = task * t; r < std::min(rows, task * (t + 1)); ++r) {
      index_t const filled = r < x.extent(0) ? x.extent(1) : 0;
      if (filled > 0) { convert(&x(r, 0), copy + r * stride, filled); }
      std::fill(copy + r * stride + filled, copy + (r + 1) * stride, E{});
    }
  });
  return copy;
}

/// Sums (rows, kernels.tile_outputs) into the product's rows from `row` on and outputs from `output` on, with the bias added.
template <class X>
void write_rows(product const& job, many_rows_kernels<X> const& kernels, float const* sums, index_t row, index_t rows, index_t output) {
  index_t const outputs = kernels.tile_outputs;
  for (index_t r = 0; r < rows; ++r) {
    kernels.write(sums + r * outputs, job.bias != nullptr ? job.bias + output : nullptr, &job.out(row + r, output), job.out.stride(1),
                  std::min(outputs, job.w.rows - output));
  }
}

/// The outputs of panel `p`, all rows: a task. x (rows, inputs / kernels.inputs), every row contiguous.
template <class X>
void many_rows_panel(product const& job, tensor_view<X const, 2> x, many_rows_kernels<X> const& kernels, index_t p) {
  index_t const outputs = kernels.tile_outputs;
  index_t const output = p * outputs;
  index_t const count = std::min(outputs, job.w.rows - output);
  index_t const inputs = kernels.inputs;
  index_t const depth = panel_bytes / (outputs * static_cast<index_t>(sizeof(X)));
  X* const panel = thread_scratch<X, 0>(depth * outputs);
  float* const sums = thread_scratch<float, 1>(many_rows_block * outputs);
  for (index_t first_row = 0; first_row < job.rows(); first_row += many_rows_block) {
    index_t const rows = std::min(many_rows_block, job.rows() - first_row);
    index_t const tiles = (rows + many_rows_tile - 1) / many_rows_tile;
    std::fill(sums, sums + tiles * many_rows_tile * outputs, 0.0F);
    for (index_t first = 0; first < job.w.cols; first += depth * inputs) {
      index_t const last = std::min(job.w.cols, first + depth * inputs);
      kernels.pack(job.w, output, count, first, last, panel);
      for (index_t t = 0; t < tiles; ++t) {
        std::array<X const*, many_rows_tile> rows_at;
        for (index_t r = 0; r < many_rows_tile; ++r) {
          // A tile that the rows do not fill repeats the last one; what comes of it is not read.
          rows_at[r] = &x(first_row + std::min(rows - 1, t * many_rows_tile + r), first / inputs);
        }
        kernels.step(rows_at.data(), panel, (last - first + inputs - 1) / inputs, sums + t * many_rows_tile * outputs);
      }
    }
    write_rows(job, kernels, sums, first_row, rows, output);
  }
}

}  // namespace loopserve::detail
