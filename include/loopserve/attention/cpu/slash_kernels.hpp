// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/attention/cpu/scattered_row.hpp>
#include <loopserve/ops/cpu/isa.hpp>

namespace loopserve::detail {

/// What a row's cell of a slash takes, of one element type; rows are given by their addresses.
struct slash_kernels {
  void (*score)(float const* q, unsigned char const* const* keys, unsigned char const* const* next, int rows, int dim, int padded, float* scores);
  void (*weigh)(float* scores, int slashes, float* top, float* weight);
  void (*add_four)(float const* weights, unsigned char const* const* values, int rows, int dim, int padded, float* sums);
};

template <class Element>
slash_kernels slash_kernels_for(isa level) {
  return {choose(level, baseline::slash_scores<Element>, avx2::slash_scores<Element>, avx512::slash_scores<Element>),
          choose(level, baseline::slash_weights, avx2::slash_weights, avx512::slash_weights),
          choose(level, baseline::slash_values<4, Element>, avx2::slash_values<4, Element>, avx512::slash_values<4, Element>)};
}

}  // namespace loopserve::detail
