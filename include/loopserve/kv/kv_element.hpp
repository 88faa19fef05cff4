// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/element.hpp>

namespace loopserve {

/// What keys and values are stored in where nothing else is named: float32 on the reference backend, f16 on others, whatever the weights are. f16 takes
/// bf16's bytes and rounds eight times finer; what is beyond its 65,504 is an error (store_rows), never an infinity.
template <class Backend>
using kv_element = std::conditional_t<std::is_same_v<Backend, reference>, float, f16>;

}  // namespace loopserve
