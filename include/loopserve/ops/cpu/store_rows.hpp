// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/simd.hpp>
#include <loopserve/ops/store_rows.hpp>

#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/store_row.inc>
#include <loopserve/ops/cpu/each_isa.hpp>

namespace loopserve {

template <class Element>
void store_rows(cpu const& b, tensor_view<float const, 3> rows, page_table_view<Element> to, int first) {
  auto* const kernel = choose(b.isa_level(), baseline::store_row<Element>, avx2::store_row<Element>, avx512::store_row<Element>);
  detail::for_stored_rows(rows, to, first, [&](float const* from, Element* row) { return kernel(from, row, rows.extent(2)); });
}

}  // namespace loopserve
