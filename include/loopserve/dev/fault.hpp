// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <loopserve/core/error.hpp>

namespace loopserve {

/// What a kernel may find wrong with the values that it was given: the host hears of it when it next waits.
enum class fault : int { none, token_outside_vocabulary, activation_outside_f16, kv_outside_f16 };

/// The first fault since the host last waited, in device memory.
struct fault_record {
  fault kind = fault::none;
  int value = 0;
};

/// Throws error where a kernel has recorded a fault.
inline void check_fault(fault_record const& record) {
  switch (record.kind) {
    case fault::none: return;
    case fault::token_outside_vocabulary: throw error("token id " + std::to_string(record.value) + " is outside the vocabulary");
    case fault::activation_outside_f16:
      throw error("an activation in row " + std::to_string(record.value) + " of a product is beyond the 65504 that f16, the type of its weights, holds");
    case fault::kv_outside_f16:
      throw error("a key or value of KV head " + std::to_string(record.value) +
                  " is beyond the 65504 that f16 holds; store keys and values in bf16 or f32 (any_storage with kv_type, --kv-type of the programs)");
  }
  throw error("a kernel recorded the unknown fault " + std::to_string(static_cast<int>(record.kind)));
}

}  // namespace loopserve
