// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/config.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve::detail {

// Always inlined: to gcc a function that only prefetches has no effect, and it leaves out the call.

/// Asks for `bytes` from `p` on, which will be read soon from a place that the processor cannot guess.
[[gnu::always_inline]] inline void read_ahead(void const* p, index_t bytes) {
  for (index_t at = 0; at < bytes; at += 64) { __builtin_prefetch(static_cast<char const*>(p) + at); }
}

/// The same, for what will be written.
[[gnu::always_inline]] inline void write_ahead(void* p, index_t bytes) {
  for (index_t at = 0; at < bytes; at += 64) { __builtin_prefetch(static_cast<char*>(p) + at, 1); }
}

}  // namespace loopserve::detail
