// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/element.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// out = x w^T + bias on a device, as its own library computes it: numbers of 16 bits, sums and results in float32. Everything lies in the device's memory.
struct matrix_product {
  element_type type = element_type::bf16;  ///< of x and w: bf16 or f16
  index_t rows = 0, inputs = 0, outputs = 0;
  void const* x = nullptr;                 ///< (rows, inputs), dense
  void const* w = nullptr;                 ///< (outputs, inputs), dense
  float const* bias = nullptr;             ///< (outputs); null: none
  float* out = nullptr;                    ///< (rows, outputs)
  index_t out_stride = 0;                  ///< elements between two rows of out
};

}  // namespace loopserve
