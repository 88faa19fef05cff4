// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include <loopserve/kv/cache_storage.hpp>
#include <loopserve/kv/kv_policy.hpp>

namespace loopserve {

struct keep_all_options {};

/// The whole context, always.
template <class Backend>
class keep_all {
 public:
  using backend_type = Backend;
  using options = keep_all_options;

  explicit keep_all(Backend&, options = {}) {}

  template <class Element>
  void begin_turn(int, tensor_view<float const, 3>, kv_view<Element>) {}
  void observe(int, tensor_view<float const, 2>) {}
  bool due(int) { return false; }
  template <class Element>
  void choose(int, kv_view<Element>, kept_rows<Backend>& keep) {
    keep.keep_all();
  }
  kv_budget budget() const { return {std::numeric_limits<int>::max()}; }
  void truncate(int) {}
  keep_all fork() const { return *this; }

  static index_t planned_bytes(cache_shape, int /*heads*/, options const&, int /*context*/) { return 0; }
  static index_t planned_rows(options const&, int /*context*/) { return 0; }
};

}  // namespace loopserve
