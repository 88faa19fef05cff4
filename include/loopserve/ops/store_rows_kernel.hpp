// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/dev/report.hpp>
#include <loopserve/ops/store_rows.hpp>

namespace loopserve {

/// Writes one token's row of every KV head. A block a token. A number that f16 does not hold is reported.
template <class Element>
struct store_rows_kernel {
  static constexpr int threads = 128;

  tensor_view<float const, 3> rows;  // (tokens, kv_heads, head_dim)
  page_table_view<Element> to;
  int first;
  fault_record* faults;

  LOOPSERVE_DEVICE void operator()() const {
    index_t const i = dev::block().x, t = first + i;
    int const dims = static_cast<int>(rows.extent(2)), count = static_cast<int>(rows.extent(1)) * dims;
    index_t const page = t >> to.page_shift, in_page = (t & ((index_t{1} << to.page_shift) - 1)) * to.row_stride;
    for (int at = dev::thread(); at < count; at += threads) {
      int const head = at / dims, c = at % dims;
      float const value = dev::load(rows.data() + i * rows.stride(0) + head * rows.stride(1) + c);
      if constexpr (std::is_same_v<Element, f16>) {
        if (value >= detail::f16_beyond || value <= -detail::f16_beyond) { dev::report(faults, fault::kv_outside_f16, head); }
      }
      dev::store(dev::load(to.pages + head * to.stride + page) + in_page + c, static_cast<Element>(value));
    }
  }
};

}  // namespace loopserve
