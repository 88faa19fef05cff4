// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/reduce.hpp>

namespace loopserve {

/// scores = max(scores, mass), both (kv_heads, keys). A thread a key.
struct larger_mass_kernel {
  static constexpr int threads = 256;

  tensor_view<float const, 2> mass;
  tensor_view<float, 2> scores;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const key = block.x * threads + dev::thread(), h = block.y;
    if (key >= scores.extent(1)) { return; }
    dev::store(&scores(h, key), dev::larger{}(dev::load(&scores(h, key)), dev::load(&mass(h, key))));
  }
};

/// scores (kv_heads, keys) times the length of each key's value. A warp a key.
template <class Element>
struct weigh_by_value_kernel {
  static constexpr int threads = 256;
  static constexpr int keys_per_block = threads / 32;

  kv_view<Element> kv;
  tensor_view<float, 2> scores;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const key = block.x * keys_per_block + dev::warp(), h = block.y;
    if (key >= kv.tokens) { return; }
    Element const* const value = dev::value(kv, key, h);
    float sum = 0;
    for (int c = dev::lane(); c < kv.head_dim; c += 32) {
      float const x = dev::load(value + c);
      sum += x * x;
    }
    sum = dev::warp_reduce(sum, dev::plus{});
    if (dev::lane() == 0) { dev::store(&scores(h, key), sum == 0 ? 0 : dev::load(&scores(h, key)) * (sum * dev::rsqrt(sum))); }
  }
};

/// Each score becomes the largest of `pool` neighbours in `mass`. A thread a key.
struct pool_mass_kernel {
  static constexpr int threads = 256;

  tensor_view<float const, 2> mass;
  int pool;
  tensor_view<float, 2> scores;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const key = block.x * threads + dev::thread(), h = block.y, keys = static_cast<int>(scores.extent(1));
    if (key >= keys) { return; }
    int const from = key - pool / 2 > 0 ? key - pool / 2 : 0, to = key + pool / 2 < keys - 1 ? key + pool / 2 : keys - 1;
    float best = dev::load(&mass(h, from));
    for (int i = from + 1; i <= to; ++i) { best = dev::larger{}(best, dev::load(&mass(h, i))); }
    dev::store(&scores(h, key), best);
  }
};

}  // namespace loopserve
