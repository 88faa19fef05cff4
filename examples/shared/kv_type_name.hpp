// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <loopserve/core/element.hpp>
#include <loopserve/core/error.hpp>

namespace programs {

/// The element type that keys and values may be stored in, by its name.
inline loopserve::element_type kv_type_of(std::string const& name) {
  using loopserve::element_type;
  for (auto const type : {element_type::f32, element_type::f16, element_type::bf16}) {
    if (name == loopserve::name_of(type)) { return type; }
  }
  throw loopserve::error("keys and values are stored as bf16, f16 or f32, not as '" + name + "'");
}

}  // namespace programs
