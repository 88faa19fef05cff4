// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/ops/cpu/product.hpp>
#include <loopserve/ops/cpu/weight_row.hpp>

namespace loopserve {

/// The rows of x that a decode product has at once; a product of more rows is a prefill product.
inline constexpr index_t few_rows_limit = 16;

}  // namespace loopserve

#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/few_rows.inc>
#include <loopserve/ops/cpu/each_isa.hpp>

namespace loopserve::detail {

using few_rows_kernel = void(product const&, float const* packed, index_t first, index_t last);

inline few_rows_kernel* few_rows_kernel_of(isa level, element_type type) {
  switch (type) {
    case element_type::f32: return choose(level, baseline::few_rows<float>, avx2::few_rows<float>, avx512::few_rows<float>);
    case element_type::f16: return choose(level, baseline::few_rows<f16>, avx2::few_rows<f16>, avx512::few_rows<f16>);
    case element_type::bf16: return choose(level, baseline::few_rows<bf16>, avx2::few_rows<bf16>, avx512::few_rows<bf16>);
    case element_type::q8_0:
      return choose(level, baseline::few_rows<q8_0_blocks>, avx2::few_rows<q8_0_blocks>, avx512::few_rows<q8_0_blocks>);
  }
  return nullptr;
}

}  // namespace loopserve::detail
