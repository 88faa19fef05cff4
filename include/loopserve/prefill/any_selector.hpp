// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <variant>

#include <loopserve/prefill/a_shape.hpp>
#include <loopserve/prefill/dense_prefill.hpp>
#include <loopserve/prefill/online_vertical_slash.hpp>

namespace loopserve {

struct any_selector_options {
  std::string name = "online_vertical_slash";  ///< dense, a_shape or online_vertical_slash
  a_shape_options a_shape = {};
  online_vertical_slash_options online_vertical_slash = {};
};

/// The selector that a name asks for at run time. Throws error, with the names there are, for any other.
template <class Backend>
class any_selector {
 public:
  using backend_type = Backend;
  using options = any_selector_options;

  explicit any_selector(Backend& backend, options const& o = {}) : chosen_(made(backend, o)) {}

  static constexpr char const* names() { return "dense, a_shape, online_vertical_slash"; }

  /// Scratch memory of one selection.
  static index_t planned_bytes(options const& o, int heads, int rows, int keys, int threads) {
    return o.name == "online_vertical_slash" ? online_vertical_slash<Backend>::planned_bytes(o.online_vertical_slash, heads, rows, keys, threads) : 0;
  }

  template <class Element>
  void select(prefill_site site, tensor_view<float const, 3> q, kv_view<Element> kv, line_plan_view plan) {
    std::visit([&](auto& selector) { selector.select(site, q, kv, plan); }, chosen_);
  }

 private:
  using choice = std::variant<dense_prefill<Backend>, loopserve::a_shape<Backend>, loopserve::online_vertical_slash<Backend>>;

  static choice made(Backend& backend, options const& o) {
    if (o.name == "dense") { return dense_prefill<Backend>(backend); }
    if (o.name == "a_shape") { return loopserve::a_shape<Backend>(backend, o.a_shape); }
    if (o.name == "online_vertical_slash") { return loopserve::online_vertical_slash<Backend>(backend, o.online_vertical_slash); }
    throw error("there is no prefill selector '" + o.name + "'; there are: " + names());
  }

  choice chosen_;
};

static_assert(prefill_selector<any_selector<reference>>);

}  // namespace loopserve
