// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

namespace loopserve {

/// Every component names its backend, has default-constructible options, is movable and built from (backend&, options).
template <class C>
concept component = std::movable<C> && requires {
  typename C::backend_type;
  typename C::options;
} && std::default_initializable<typename C::options> && std::constructible_from<C, typename C::backend_type&, typename C::options>;

}  // namespace loopserve
