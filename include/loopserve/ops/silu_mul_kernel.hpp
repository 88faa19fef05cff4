// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/primitives.hpp>

namespace loopserve {

/// Block (r, c): the c-th `tile` columns of row r.
template <class In, class Out>
struct silu_mul_kernel {
  static constexpr int threads = 256;
  static constexpr int tile = 4 * threads;

  tensor_view<In const, 2> gate, up;
  tensor_view<Out, 2> out;

  LOOPSERVE_DEVICE void operator()() const {
    index_t const r = dev::block().x;
    index_t const first = index_t{dev::block().y} * tile;
    for (index_t i = first + dev::thread(); i < first + tile && i < gate.extent(1); i += threads) {
      float const v = dev::load(&gate(r, i));
      dev::store(&out(r, i), static_cast<Out>(v / (1 + dev::exp(-v)) * dev::load(&up(r, i))));
    }
  }
};

}  // namespace loopserve
