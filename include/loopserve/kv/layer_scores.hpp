// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// Room for the scores of one layer's keys: kept from one choice to the next where choices follow each other, the queue's scratch where several may be under way.
template <class Backend>
class layer_scores {
 public:
  /// (kv_heads, context), of any content; valid until the next call and as long as `scratch`, which is empty before.
  template <class Queue>
  tensor_view<float, 2> room(Queue& queue, typename Queue::template buffer<float>& scratch, int kv_heads, int context) {
    auto const size = index_t{kv_heads} * context;
    float* memory = nullptr;
    if constexpr (std::is_same_v<Queue, Backend>) {
      if (kept_.size() < size) { kept_ = queue.template make_buffer<float>(size); }
      memory = kept_.data();
    } else {
      scratch = queue.template make_buffer<float>(size);
      memory = scratch.data();
    }
    return {memory, {kv_heads, context}};
  }

 private:
  typename Backend::template buffer<float> kept_;
};

}  // namespace loopserve
