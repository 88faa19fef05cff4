// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/config.hpp>
#include <loopserve/dev/primitives.hpp>

namespace loopserve::dev {

/// Room for block_scan in shared memory.
template <class T>
struct scan_scratch {
  T warps[32];
};

template <class T>
struct scanned {
  T before;  ///< the sum over the threads of lower number
  T total;   ///< over all threads
};

/// Sums over the block, in the threads' order. All threads come here. The scratch may be used again at once: the barriers are inside.
template <class T>
LOOPSERVE_DEVICE scanned<T> block_scan(T value, scan_scratch<T>& scratch) {
  T up_to = value;
  for (int by = 1; by < 32; by *= 2) {
    T const lower = shuffle_up(up_to, by);
    up_to += lane() >= by ? lower : T{};
  }
  if (lane() == 31) { scratch.warps[warp()] = up_to; }
  barrier();
  T below{}, total{};
  for (int w = 0; w < threads() / 32; ++w) {
    T const sum = scratch.warps[w];
    below += w < warp() ? sum : T{};
    total += sum;
  }
  barrier();
  return {below + up_to - value, total};
}

}  // namespace loopserve::dev
