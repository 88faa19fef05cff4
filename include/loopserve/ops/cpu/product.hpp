// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/buffer.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/core/weight_view.hpp>

namespace loopserve {

/// out = x w^T + bias, as all kernels of products are told; x comes to each in its own layout.
struct product {
  weight_view w;
  float const* bias;          ///< (w.rows) or null
  tensor_view<float, 2> out;  ///< (rows, w.rows)

  index_t rows() const { return out.extent(0); }
};

namespace detail {

/// Memory of the calling thread that stays from call to call, at least `count` elements.
template <class T, int Use>
T* thread_scratch(index_t count) {
  thread_local host_buffer<T> memory;
  if (memory.size() < count) { memory = host_buffer<T>(count); }
  return memory.data();
}

}  // namespace detail

}  // namespace loopserve
