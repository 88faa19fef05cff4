// SPDX-License-Identifier: Apache-2.0
#include "product.hpp"

#include <vector>

namespace loopserve::simt {

namespace {

constexpr index_t lanes = 16;

template <class Element>
void multiply_as(matrix_product const& p) {
  auto const padded = (p.inputs + lanes - 1) / lanes * lanes;
  auto const unpacked = [&](void const* from, index_t rows) {
    std::vector<float> numbers(static_cast<std::size_t>(rows * padded), 0.0F);
    for (index_t r = 0; r < rows; ++r) {
      for (index_t i = 0; i < p.inputs; ++i) { numbers[static_cast<std::size_t>(r * padded + i)] = static_cast<Element const*>(from)[r * p.inputs + i]; }
    }
    return numbers;
  };
  auto const x = unpacked(p.x, p.rows), w = unpacked(p.w, p.outputs);
  for (index_t r = 0; r < p.rows; ++r) {
    for (index_t o = 0; o < p.outputs; ++o) {
      float const* const row = x.data() + r * padded;
      float const* const weights = w.data() + o * padded;
      float sums[lanes] = {};
      for (index_t i = 0; i < padded; i += lanes) {
        for (index_t lane = 0; lane < lanes; ++lane) { sums[lane] += row[i + lane] * weights[i + lane]; }
      }
      float total = 0;
      for (float const sum : sums) { total += sum; }
      p.out[r * p.out_stride + o] = total + (p.bias != nullptr ? p.bias[o] : 0.0F);
    }
  }
}

}  // namespace

void multiply(matrix_product const& product) {
  if (product.type == element_type::bf16) { return multiply_as<bf16>(product); }
  multiply_as<f16>(product);
}

}  // namespace loopserve::simt
