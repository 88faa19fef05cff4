// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/core/element.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/report.hpp>

namespace loopserve {

/// Writes rows of float32 in 16 bits, dense. Block (r, c): the c-th `tile` columns of row r. A number that f16 does not hold is reported.
template <class Element>
struct narrow_rows_kernel {
  static constexpr int threads = 128;
  static constexpr int tile = 8 * threads;

  tensor_view<float const, 2> x;
  Element* out;  // (rows, cols)
  fault_record* faults;

  LOOPSERVE_DEVICE void operator()() const {
    index_t const r = dev::block().x, first = index_t{dev::block().y} * tile;
    bool outside = false;
    for (index_t i = first + dev::thread(); i < first + tile && i < x.extent(1); i += threads) {
      float const value = dev::load(&x(r, i));
      if constexpr (std::is_same_v<Element, f16>) { outside = outside || value >= 65520.0F || value <= -65520.0F; }  // what rounds to infinity
      dev::store(out + r * x.extent(1) + i, static_cast<Element>(value));
    }
    if (outside) { dev::report(faults, fault::activation_outside_f16, static_cast<int>(r)); }
  }
};

}  // namespace loopserve
