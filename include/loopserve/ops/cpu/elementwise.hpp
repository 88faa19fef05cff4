// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <loopserve/ops/add.hpp>
#include <loopserve/ops/argmax.hpp>
#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/weight_row.hpp>
#include <loopserve/ops/embed.hpp>
#include <loopserve/ops/rmsnorm.hpp>
#include <loopserve/ops/rope.hpp>
#include <loopserve/ops/silu_mul.hpp>
#include <loopserve/ops/softmax.hpp>

#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/elementwise.inc>
#include <loopserve/ops/cpu/each_isa.hpp>

namespace loopserve {

namespace detail {

/// Threads for `elements` of cheap work: below about ten microseconds' worth the caller does it alone.
inline int threads_for(cpu const& b, index_t elements) { return elements < 65536 ? 1 : b.threads(); }

/// Calls body(row) for all rows, in tasks of enough rows to be worth one.
template <class Body>
void for_rows(cpu const& b, index_t rows, index_t width, Body&& body) {
  index_t const share = std::max<index_t>(1, 8192 / std::max<index_t>(1, width));
  parallel_for(threads_for(b, rows * width), (rows + share - 1) / share, [&](index_t t) {
    for (index_t r = t * share; r < std::min(rows, (t + 1) * share); ++r) { body(r); }
  });
}

template <class View>
bool dense_rows(View const& v) {
  return v.stride(v.rank() - 1) == 1;
}

}  // namespace detail

// Each of these is the reference's, in float32 and in vectors; rows that are not contiguous go to the reference itself.

inline void embed(cpu const& b, weight_view table, std::span<token_id const> ids, tensor_view<float, 2> out) {
  check(out.extent(0) == static_cast<index_t>(ids.size()) && out.extent(1) == table.cols, "embed: out must be (ids, width)");
  check(out.stride(1) == 1, "embed: a row of out must be contiguous");
  for (auto id : ids) {
    if (raw(id) < 0 || raw(id) >= table.rows) {
      throw error("token id " + std::to_string(raw(id)) + " is outside the vocabulary of " + std::to_string(table.rows) + " tokens");
    }
  }
  auto* const unpack = detail::choose_unpack(b.isa_level(), table.type);
  detail::for_rows(b, out.extent(0), out.extent(1), [&](index_t r) { unpack(table.row(raw(ids[r])), &out(r, 0), table.cols); });
}

inline void rmsnorm(cpu const& b, tensor_view<float const, 2> x, std::span<float const> weight, float eps, tensor_view<float, 2> out) {
  if (!detail::dense_rows(x) || !detail::dense_rows(out)) { return rmsnorm(static_cast<reference const&>(b), x, weight, eps, out); }
  auto const width = x.extent(1);
  check(out.extents() == x.extents() && static_cast<index_t>(weight.size()) == width, "rmsnorm: x, weight and out must agree in shape");
  auto* const kernel = choose(b.isa_level(), baseline::rmsnorm_row, avx2::rmsnorm_row, avx512::rmsnorm_row);
  detail::for_rows(b, x.extent(0), width, [&](index_t r) { kernel(x.data() + r * x.stride(0), weight.data(), eps, out.data() + r * out.stride(0), width); });
}

inline void rope(cpu const& b, tensor_view<float, 3> x, std::span<int const> positions, rope_view freq) {
  if (freq.interleaved || !detail::dense_rows(x)) { return rope(static_cast<reference const&>(b), x, positions, freq); }
  check(x.extent(0) == static_cast<index_t>(positions.size()), "rope: a position for every row is needed");
  check(2 * freq.pairs <= x.extent(2), "rope: more rotated channels than a head has");
  auto* const kernel = choose(b.isa_level(), baseline::rotate_head, avx2::rotate_head, avx512::rotate_head);
  detail::for_rows(b, x.extent(0), 4 * x.extent(1) * x.extent(2), [&](index_t r) {
    thread_local std::vector<float> turn;
    turn.resize(2 * static_cast<std::size_t>(freq.pairs));
    for (int i = 0; i < freq.pairs; ++i) {
      auto const angle = static_cast<double>(positions[r]) * freq.inv_freq[i];
      turn[i] = static_cast<float>(std::cos(angle) * freq.scale);
      turn[freq.pairs + i] = static_cast<float>(std::sin(angle) * freq.scale);
    }
    for (index_t h = 0; h < x.extent(1); ++h) { kernel(x.data() + r * x.stride(0) + h * x.stride(1), turn.data(), turn.data() + freq.pairs, freq.pairs); }
  });
}

inline void silu_mul(cpu const& b, tensor_view<float const, 2> gate, tensor_view<float const, 2> up, tensor_view<float, 2> out) {
  if (!detail::dense_rows(gate) || !detail::dense_rows(up) || !detail::dense_rows(out)) { return silu_mul(static_cast<reference const&>(b), gate, up, out); }
  check(gate.extents() == up.extents() && gate.extents() == out.extents(), "silu_mul: gate, up and out must agree in shape");
  auto* const kernel = choose(b.isa_level(), baseline::silu_mul_row, avx2::silu_mul_row, avx512::silu_mul_row);
  detail::for_rows(b, gate.extent(0), gate.extent(1), [&](index_t r) {
    kernel(gate.data() + r * gate.stride(0), up.data() + r * up.stride(0), out.data() + r * out.stride(0), gate.extent(1));
  });
}

inline void add(cpu const& b, tensor_view<float const, 2> x, tensor_view<float, 2> y) {
  if (!detail::dense_rows(x) || !detail::dense_rows(y)) { return add(static_cast<reference const&>(b), x, y); }
  check(x.extents() == y.extents(), "add: x and y must agree in shape");
  auto* const kernel = choose(b.isa_level(), baseline::add_row, avx2::add_row, avx512::add_row);
  detail::for_rows(b, x.extent(0), x.extent(1), [&](index_t r) { kernel(x.data() + r * x.stride(0), y.data() + r * y.stride(0), x.extent(1)); });
}

inline int argmax(cpu const& b, std::span<float const> values) {
  auto const n = static_cast<index_t>(values.size());
  auto const found = choose(b.isa_level(), baseline::find_largest, avx2::find_largest, avx512::find_largest)(values.data(), n);
  // Nothing to choose from, or something that is not a number: the reference words the error.
  return found >= 0 ? static_cast<int>(found) : argmax(static_cast<reference const&>(b), values);
}

inline void softmax_rows(cpu const& b, tensor_view<float, 2> x) {
  if (!detail::dense_rows(x) || x.extent(1) == 0) { return softmax_rows(static_cast<reference const&>(b), x); }
  auto* const kernel = choose(b.isa_level(), baseline::softmax_row, avx2::softmax_row, avx512::softmax_row);
  detail::for_rows(b, x.extent(0), x.extent(1), [&](index_t r) { kernel(x.data() + r * x.stride(0), static_cast<int>(x.extent(1))); });
}

}  // namespace loopserve
