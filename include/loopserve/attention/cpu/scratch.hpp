// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/buffer.hpp>

namespace loopserve::detail {

/// This thread's scratch memory of at least `count` floats, aligned to 64 bytes; the next call with the same `Tag` on this thread takes it away again.
template <class Tag>
float* thread_scratch(index_t count) {
  thread_local host_buffer<float> memory;
  if (memory.size() < count) { memory = host_buffer<float>(count); }
  return memory.data();
}

}  // namespace loopserve::detail
