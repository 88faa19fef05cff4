// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <span>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/core/weight_view.hpp>

namespace loopserve {

namespace detail {

inline constexpr index_t matmul_lanes = 8;    ///< partial sums of one dot product
inline constexpr index_t matmul_outputs = 4;  ///< weight rows that share a pass over a row of x
inline constexpr index_t matmul_block = 32;   ///< weight rows unpacked at a time: one task

/// Dot products of `x` (cols) with four rows of `w` (4, cols), cols a multiple of the lanes. The order of the sums depends on cols alone.
inline std::array<double, matmul_outputs> dot_rows(double const* x, double const* w, index_t cols) {
  double sums[matmul_outputs][matmul_lanes] = {};
  for (index_t i = 0; i < cols; i += matmul_lanes) {
    for (index_t o = 0; o < matmul_outputs; ++o) {
      for (index_t lane = 0; lane < matmul_lanes; ++lane) { sums[o][lane] += x[i + lane] * w[o * cols + i + lane]; }
    }
  }
  std::array<double, matmul_outputs> total{};
  for (index_t o = 0; o < matmul_outputs; ++o) {
    for (double lane : sums[o]) { total[o] += lane; }
  }
  return total;
}

}  // namespace detail

/// out = x w^T + bias with sums in float64: x (rows, in), w (out, in) in its stored type, bias (out) or empty, out (rows, out).
/// A row of the result does not depend on the other rows.
inline void matmul(reference const& b, tensor_view<float const, 2> x, weight_view w, std::span<float const> bias, tensor_view<float, 2> out) {
  check(x.extent(1) == w.cols && out.extent(0) == x.extent(0) && out.extent(1) == w.rows, "matmul: x (rows, in), w (out, in), out (rows, out) do not agree");
  check(bias.empty() || static_cast<index_t>(bias.size()) == w.rows, "matmul: the bias must have a value for every output");
  using namespace detail;
  // Padded with zeros to whole lanes and whole groups of outputs, so that no remainder has an arithmetic of its own.
  index_t const cols = (w.cols + matmul_lanes - 1) / matmul_lanes * matmul_lanes;
  index_t const blocks = (w.rows + matmul_block - 1) / matmul_block;
  parallel_for(x.extent(0) * w.rows * w.cols < 50000 ? 1 : b.threads(), blocks, [&](index_t block) {
    index_t const low = block * matmul_block;
    index_t const high = std::min(w.rows, low + matmul_block);
    std::vector<float> narrow(static_cast<std::size_t>(w.cols));
    std::vector<double> weights(static_cast<std::size_t>(matmul_block * cols));
    std::vector<double> row(static_cast<std::size_t>(cols));
    for (index_t o = low; o < high; ++o) {
      unpack_row(w, o, narrow.data());
      std::copy(narrow.begin(), narrow.end(), weights.begin() + (o - low) * cols);
    }
    for (index_t r = 0; r < x.extent(0); ++r) {
      for (index_t i = 0; i < w.cols; ++i) { row[i] = x(r, i); }
      for (index_t o = low; o < high; o += matmul_outputs) {
        auto const sums = dot_rows(row.data(), weights.data() + (o - low) * cols, cols);
        for (index_t k = 0; k < matmul_outputs && o + k < high; ++k) {
          out(r, o + k) = static_cast<float>(sums[k] + (bias.empty() ? 0.0 : static_cast<double>(bias[o + k])));
        }
      }
    }
  });
}

/// One of several products of the same rows.
struct matmul_part {
  weight_view w;
  std::span<float const> bias;
  tensor_view<float, 2> out;
};

/// matmul of the same rows with each part. A backend whose products read another form of the rows makes it once.
template <class Backend>
void matmul_parts(Backend const& b, tensor_view<float const, 2> x, std::initializer_list<matmul_part> parts) {
  for (auto const& part : parts) { matmul(b, x, part.w, part.bias, part.out); }
}

}  // namespace loopserve
