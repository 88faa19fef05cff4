// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <variant>

#include <loopserve/core/element.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/kv/paged.hpp>

namespace loopserve {

struct any_storage_options {
  element_type type = element_type::f16;  ///< f32, f16 or bf16
  paged_options pages = {};
};

/// Paged storage whose element type is chosen at run time. `visit(f)` calls `f(storage)` with the one that was chosen.
template <class Backend>
class any_storage {
 public:
  using backend_type = Backend;
  using options = any_storage_options;

  any_storage(Backend& backend, cache_shape shape, options o) : storage_(make(backend, shape, o)) {}

  template <class F>
  decltype(auto) visit(F&& f) {
    return std::visit(std::forward<F>(f), storage_);
  }
  template <class F>
  decltype(auto) visit(F&& f) const {
    return std::visit(std::forward<F>(f), storage_);
  }

  /// What `tokens` tokens of one sequence take.
  static index_t planned_bytes(cache_shape shape, options const& o, int tokens) {
    // Pages are equal but for the size of an element.
    return paged<Backend, bf16>::planned_bytes(shape, o.pages, tokens) / 2 * bytes_of(o.type, 1);
  }

 private:
  using variant = std::variant<paged<Backend, float>, paged<Backend, bf16>, paged<Backend, f16>>;

  static variant make(Backend& backend, cache_shape shape, options const& o) {
    switch (o.type) {
      case element_type::f32: return variant(std::in_place_index<0>, backend, shape, o.pages);
      case element_type::bf16: return variant(std::in_place_index<1>, backend, shape, o.pages);
      case element_type::f16: return variant(std::in_place_index<2>, backend, shape, o.pages);
      case element_type::q8_0: break;
    }
    throw error(std::string("keys and values are stored as f32, f16 or bf16, not as ") + name_of(o.type));
  }

  variant storage_;
};

/// Calls `f` with the storage itself, whether its element type is fixed at compile time or chosen at run time.
template <class Storage, class F>
decltype(auto) visit_storage(Storage& storage, F&& f) {
  if constexpr (requires { storage.visit(f); }) {
    return storage.visit(std::forward<F>(f));
  } else {
    return std::forward<F>(f)(storage);
  }
}

}  // namespace loopserve
