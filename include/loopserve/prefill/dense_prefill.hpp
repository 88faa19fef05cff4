// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/prefill/prefill_selector.hpp>

namespace loopserve {

struct dense_prefill_options {};

/// Every row attends to all that it may see: plans are handed out dense, and stay so.
template <class Backend>
class dense_prefill {
 public:
  using backend_type = Backend;
  using options = dense_prefill_options;

  explicit dense_prefill(Backend&, options = {}) {}

  template <class Element>
  void select(prefill_site, tensor_view<float const, 3>, kv_view<Element>, line_plan_view) {}

  /// Scratch for one chunk.
  static index_t planned_bytes(options const&, int /*heads*/, int /*rows*/, int /*keys*/, int /*threads*/) { return 0; }
};

}  // namespace loopserve
