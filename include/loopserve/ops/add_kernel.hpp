// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/primitives.hpp>

namespace loopserve {

/// Block (r, c): the c-th `tile` columns of row r.
template <class X, class Y>
struct add_kernel {
  static constexpr int threads = 256;
  static constexpr int tile = 4 * threads;

  tensor_view<X const, 2> x;
  tensor_view<Y, 2> y;

  LOOPSERVE_DEVICE void operator()() const {
    index_t const r = dev::block().x;
    index_t const first = index_t{dev::block().y} * tile;
    for (index_t i = first + dev::thread(); i < first + tile && i < y.extent(1); i += threads) {
      float const sum = static_cast<float>(dev::load(&y(r, i))) + static_cast<float>(dev::load(&x(r, i)));
      dev::store(&y(r, i), static_cast<Y>(sum));
    }
  }
};

}  // namespace loopserve
