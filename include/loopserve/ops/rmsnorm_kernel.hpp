// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/reduce.hpp>

namespace loopserve {

/// A block a row, the sum of squares in float32.
template <class In, class Out>
struct rmsnorm_kernel {
  static constexpr int threads = 256;
  using shared_layout = dev::reduce_scratch<float>;

  tensor_view<In const, 2> x;
  float const* weight;  // (width)
  float eps;
  tensor_view<Out, 2> out;

  LOOPSERVE_DEVICE void operator()() const {
    index_t const r = dev::block().x;
    index_t const width = x.extent(1);
    float sum = 0;
    for (index_t i = dev::thread(); i < width; i += threads) {
      float const v = dev::load(&x(r, i));
      sum += v * v;
    }
    sum = dev::block_reduce(sum, 0.0F, dev::plus{}, dev::shared<shared_layout>());
    float const scale = dev::rsqrt(sum / static_cast<float>(width) + eps);
    for (index_t i = dev::thread(); i < width; i += threads) {
      dev::store(&out(r, i), static_cast<Out>(dev::load(&x(r, i)) * scale * dev::load(weight + i)));
    }
  }
};

}  // namespace loopserve
