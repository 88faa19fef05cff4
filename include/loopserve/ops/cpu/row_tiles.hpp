// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include <loopserve/core/parallel.hpp>
#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/product.hpp>
#include <loopserve/ops/cpu/weight_row.hpp>

// Libraries go by what the compiler has switched on, whichever threads we use ourselves.
#ifdef _OPENMP
#include <omp.h>
#endif

/// Products of many rows by a library, so that a row's bits depend on nothing but the row and its weights: the library is given tiles of one shape, the
/// last one padded with zeros, each on one thread; tasks of our own, one a panel of outputs, run in parallel. Weights stay in memory as they are stored:
/// a task unpacks its panel once for all tiles of rows.

namespace loopserve {

inline constexpr index_t panel_outputs = 64;

}  // namespace loopserve

#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/panel.inc>
#include <loopserve/ops/cpu/each_isa.hpp>

namespace loopserve::detail {

/// The tiles of a product: as few as `most` rows a tile allow, all of the same height, a multiple of 8, so that padding stays small whatever the number.
struct padded_tiles {
  index_t height;
  index_t count;

  padded_tiles(index_t rows, index_t most) : height(0), count((rows + most - 1) / most) { height = ((rows + count - 1) / count + 7) / 8 * 8; }
};

/// While it lives, libraries that go by OpenMP use the calling thread alone.
class one_library_thread {
 public:
#ifdef _OPENMP
  one_library_thread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~one_library_thread() { omp_set_num_threads(before_); }
#else
  one_library_thread() {}  // not `= default`: an object of it is no unused variable
  ~one_library_thread() {}
#endif
  one_library_thread(one_library_thread const&) = delete;
  one_library_thread& operator=(one_library_thread const&) = delete;

#ifdef _OPENMP
 private:
  int before_;
#endif
};

using pack_function = void(weight_view w, index_t output, index_t count, float* panel);

inline pack_function* choose_pack(isa level, element_type type) {
  switch (type) {
    case element_type::f32: return choose(level, baseline::pack_panel<float>, avx2::pack_panel<float>, avx512::pack_panel<float>);
    case element_type::f16: return choose(level, baseline::pack_panel<f16>, avx2::pack_panel<f16>, avx512::pack_panel<f16>);
    case element_type::bf16: return choose(level, baseline::pack_panel<bf16>, avx2::pack_panel<bf16>, avx512::pack_panel<bf16>);
    case element_type::q8_0: return choose(level, baseline::pack_panel<q8_0_blocks>, avx2::pack_panel<q8_0_blocks>, avx512::pack_panel<q8_0_blocks>);
  }
  return nullptr;
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

/// The product in tiles, factors as E (float, or bf16 with weights of bf16); every row of x contiguous. `inputs` >= w.cols is what the library sees of them,
/// those beyond are zeros, an even number of them for bf16. `start(panel, sums)` makes a task's library product of one shape: called with a tile's rows
/// (tiles.height, inputs) it leaves sums (tiles.height, panel_outputs) of them times the panel (inputs, panel_outputs), of which bf16 lie as pairs of inputs.
template <class E, class Start>
void multiply_in_tiles(cpu const& b, product const& job, tensor_view<float const, 2> x, padded_tiles tiles, index_t inputs, Start const& start) {
  auto const level = b.isa_level();
  auto* const write = choose(level, baseline::write_outputs, avx2::write_outputs, avx512::write_outputs);
  E* const rows = copied_rows<E>(b, x, tiles.count * tiles.height, inputs);
  parallel_for(b.threads(), (job.w.rows + panel_outputs - 1) / panel_outputs, [&](index_t p) {
    one_library_thread const alone;
    index_t const output = p * panel_outputs;
    index_t const count = std::min(panel_outputs, job.w.rows - output);
    E* const panel = thread_scratch<E, 0>(inputs * panel_outputs);
    float* const sums = thread_scratch<float, 1>(tiles.height * panel_outputs);
    index_t filled = job.w.cols;
    if constexpr (std::is_same_v<E, float>) {
      choose_pack(level, job.w.type)(job.w, output, count, panel);
    } else {
      choose(level, baseline::pack_pairs, avx2::pack_pairs, avx512::pack_pairs)(job.w, output, count, reinterpret_cast<std::uint32_t*>(panel));
      filled += filled % 2;
    }
    std::fill(panel + filled * panel_outputs, panel + inputs * panel_outputs, E{});
    auto&& multiply = start(panel, sums);
    for (index_t t = 0; t < tiles.count; ++t) {
      multiply(rows + t * tiles.height * inputs);
      for (index_t r = 0; r < std::min(tiles.height, job.rows() - t * tiles.height); ++r) {
        write(sums + r * panel_outputs, job.bias != nullptr ? job.bias + output : nullptr, &job.out(t * tiles.height + r, output), job.out.stride(1), count);
      }
    }
  });
}

}  // namespace loopserve::detail
