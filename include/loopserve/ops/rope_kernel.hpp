// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/primitives.hpp>
#include <loopserve/ops/rope.hpp>

namespace loopserve {

/// A block a row: sines and cosines once into shared memory, from angles in double, then all heads.
template <class Element>
struct rope_kernel {
  static constexpr int threads = 128;

  tensor_view<Element, 3> x;  // (rows, heads, head_dim)
  int const* positions;       // (rows)
  rope_view freq;

  index_t shared_bytes() const { return index_t{2} * freq.pairs * static_cast<index_t>(sizeof(float)); }

  LOOPSERVE_DEVICE void operator()() const {
    index_t const r = dev::block().x;
    float* const cosines = dev::shared_array<float>(2 * freq.pairs);
    float* const sines = cosines + freq.pairs;
    int const position = dev::load(positions + r);
    for (int i = dev::thread(); i < freq.pairs; i += threads) {
      double const angle = static_cast<double>(position) * dev::load(freq.inv_freq + i);
      cosines[i] = static_cast<float>(std::cos(angle) * freq.scale);
      sines[i] = static_cast<float>(std::sin(angle) * freq.scale);
    }
    dev::barrier();
    int const first_step = freq.interleaved ? 2 : 1;
    int const partner = freq.interleaved ? 1 : freq.pairs;
    int const work = static_cast<int>(x.extent(1)) * freq.pairs;
    for (int n = dev::thread(); n < work; n += threads) {
      int const h = n / freq.pairs;
      int const i = n % freq.pairs;
      auto* const low = &x(r, h, i * first_step);
      auto* const high = &x(r, h, i * first_step + partner);
      float const a = dev::load(low);
      float const c = dev::load(high);
      dev::store(low, static_cast<Element>(a * cosines[i] - c * sines[i]));
      dev::store(high, static_cast<Element>(c * cosines[i] + a * sines[i]));
    }
  }
};

}  // namespace loopserve
