// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/core/weight_view.hpp>
#include <loopserve/ops/cpu/simd.hpp>

namespace loopserve {

/// Stands for the element type of weights in q8_0.
struct q8_0_blocks {};

}  // namespace loopserve

#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/weight_row.inc>
#include <loopserve/ops/cpu/each_isa.hpp>

namespace loopserve::detail {

using unpack_function = void(unsigned char const* row, float* out, index_t count);

/// Converts a row of stored elements to float32.
inline unpack_function* choose_unpack(isa level, element_type type) {
  switch (type) {
    case element_type::f32: return choose(level, baseline::unpack<float>, avx2::unpack<float>, avx512::unpack<float>);
    case element_type::f16: return choose(level, baseline::unpack<f16>, avx2::unpack<f16>, avx512::unpack<f16>);
    case element_type::bf16: return choose(level, baseline::unpack<bf16>, avx2::unpack<bf16>, avx512::unpack<bf16>);
    case element_type::q8_0: return choose(level, baseline::unpack<q8_0_blocks>, avx2::unpack<q8_0_blocks>, avx512::unpack<q8_0_blocks>);
  }
  return nullptr;
}

}  // namespace loopserve::detail
