// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/config.hpp>

namespace loopserve::dev {

/// N neighbours that are loaded or stored at once: up to 16 bytes, aligned to their size.
template <class T, int N>
struct alignas(sizeof(T) * N) vec {
  static_assert(sizeof(T) * N <= 16, "one access moves at most 16 bytes");
  T at[N];
  LOOPSERVE_HOST_DEVICE constexpr T& operator[](int i) { return at[i]; }
  LOOPSERVE_HOST_DEVICE constexpr T const& operator[](int i) const { return at[i]; }
};

}  // namespace loopserve::dev
