// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/config.hpp>

namespace loopserve {

/// Offsets, areas and sums of lengths. Counts that fit a model's context are `int`.
using index_t = std::int64_t;

enum class token_id : std::int32_t {};
enum class layer_id : std::int32_t {};
enum class sequence_id : std::int32_t {};

template <class Id>
LOOPSERVE_HOST_DEVICE constexpr auto raw(Id id) {
  return static_cast<std::int32_t>(id);
}

}  // namespace loopserve
