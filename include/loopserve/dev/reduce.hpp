// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/config.hpp>
#include <loopserve/dev/primitives.hpp>

namespace loopserve::dev {

struct plus {
  template <class T>
  LOOPSERVE_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};
struct larger {
  template <class T>
  LOOPSERVE_DEVICE T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

/// All lanes' values combined, on every lane, always in the same order. `combine` is commutative.
template <class T, class Combine>
LOOPSERVE_DEVICE T warp_reduce(T value, Combine combine) {
  for (int mask = 16; mask > 0; mask /= 2) { value = combine(value, shuffle_xor(value, mask)); }
  return value;
}

/// Room for block_reduce in shared memory.
template <class T>
struct reduce_scratch {
  T warps[32];
};

/// All threads' values combined, on every thread, always in the same order; `identity` combines with x to x. All threads of the block come here. The scratch may
/// be used again at once: the barriers are inside.
template <class T, class Combine>
LOOPSERVE_DEVICE T block_reduce(T value, T identity, Combine combine, reduce_scratch<T>& scratch) {
  value = warp_reduce(value, combine);
  if (lane() == 0) { scratch.warps[warp()] = value; }
  barrier();
  value = warp_reduce(lane() < threads() / 32 ? scratch.warps[lane()] : identity, combine);
  barrier();
  return value;
}

}  // namespace loopserve::dev
