// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/backend.hpp>
#include <loopserve/prefill/prefill_selector.hpp>

namespace loopserve {

struct dense_prefill_options {};

/// Every row attends to every key it may see.
template <class Backend>
class dense_prefill {
 public:
  using backend_type = Backend;
  using options = dense_prefill_options;

  explicit dense_prefill(Backend& backend, options = {}) : backend_(&backend) {}

  /// Scratch memory of one selection.
  static constexpr index_t planned_bytes(options const&, int /*heads*/, int /*rows*/, int /*keys*/, int /*threads*/) { return 0; }

  template <class Element>
  void select(prefill_site, tensor_view<float const, 3>, kv_view<Element>, line_plan_view plan) {
    declare_dense(*backend_, plan);
  }

 private:
  Backend* backend_;
};

static_assert(prefill_selector<dense_prefill<reference>>);

}  // namespace loopserve
