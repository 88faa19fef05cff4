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
