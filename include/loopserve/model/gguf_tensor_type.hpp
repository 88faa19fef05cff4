// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <loopserve/core/element.hpp>

namespace loopserve {

/// How GGUF packs a tensor: `block_bytes` bytes for every `block` elements of a row.
struct gguf_tensor_type {
  std::uint32_t number;
  char const* name;
  std::uint32_t block;
  std::uint32_t block_bytes;
  std::optional<element_type> element = {};  ///< empty: can be listed, not computed with
};

/// The type with the file's number, null for one that nobody told us of. Source: ggml's table of types.
inline gguf_tensor_type const* find_gguf_tensor_type(std::uint32_t number) {
  static constexpr std::array<gguf_tensor_type, 32> types = {{
      {0, "f32", 1, 4, element_type::f32},
      {1, "f16", 1, 2, element_type::f16},
      {2, "q4_0", 32, 18},
      {3, "q4_1", 32, 20},
      {6, "q5_0", 32, 22},
      {7, "q5_1", 32, 24},
      {8, "q8_0", 32, 34, element_type::q8_0},
      {9, "q8_1", 32, 40},
      {10, "q2_k", 256, 84},
      {11, "q3_k", 256, 110},
      {12, "q4_k", 256, 144},
      {13, "q5_k", 256, 176},
      {14, "q6_k", 256, 210},
      {15, "q8_k", 256, 292},
      {16, "iq2_xxs", 256, 66},
      {17, "iq2_xs", 256, 74},
      {18, "iq3_xxs", 256, 98},
      {19, "iq1_s", 256, 50},
      {20, "iq4_nl", 32, 18},
      {21, "iq3_s", 256, 110},
      {22, "iq2_s", 256, 82},
      {23, "iq4_xs", 256, 136},
      {24, "i8", 1, 1},
      {25, "i16", 1, 2},
      {26, "i32", 1, 4},
      {27, "i64", 1, 8},
      {28, "f64", 1, 8},
      {29, "iq1_m", 256, 56},
      {30, "bf16", 1, 2, element_type::bf16},
      {34, "tq1_0", 256, 54},
      {35, "tq2_0", 256, 66},
      {39, "mxfp4", 32, 17},
  }};
  for (auto const& type : types) {
    if (type.number == number) { return &type; }
  }
  return nullptr;
}

}  // namespace loopserve
