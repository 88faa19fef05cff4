// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/element.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// A matrix of weights in the type it is stored in, row-major, (out_features, in_features) as Hugging Face and GGUF lay it out.
/// The type is a run-time value because it comes from a file. For q8_0, `cols` is a multiple of 32.
struct weight_view {
  element_type type = element_type::f32;
  index_t rows = 0;
  index_t cols = 0;
  void const* data = nullptr;

  constexpr index_t row_bytes() const { return bytes_of(type, cols); }
  constexpr index_t bytes() const { return rows * row_bytes(); }
  unsigned char const* row(index_t r) const { return static_cast<unsigned char const*>(data) + r * row_bytes(); }

  /// `count` rows from `first` on.
  weight_view slice(index_t first, index_t count) const { return {type, count, cols, row(first)}; }
};

/// Writes row `r` as float32 to `out[0 .. cols)`.
inline void unpack_row(weight_view w, index_t r, float* out) {
  auto const* bytes = w.row(r);
  switch (w.type) {
    case element_type::f32: {
      auto const* p = reinterpret_cast<float const*>(bytes);
      for (index_t i = 0; i < w.cols; ++i) { out[i] = p[i]; }
      return;
    }
    case element_type::f16: {
      auto const* p = reinterpret_cast<f16 const*>(bytes);
      for (index_t i = 0; i < w.cols; ++i) { out[i] = p[i]; }
      return;
    }
    case element_type::bf16: {
      auto const* p = reinterpret_cast<bf16 const*>(bytes);
      for (index_t i = 0; i < w.cols; ++i) { out[i] = p[i]; }
      return;
    }
    case element_type::q8_0: {
      for (index_t block = 0; block < w.cols / q8_0_block; ++block) {
        auto const* p = bytes + block * q8_0_block_bytes;
        float const scale = detail::f16_to_float(static_cast<std::uint16_t>(p[0] | (p[1] << 8)));
        for (int i = 0; i < q8_0_block; ++i) {
          out[block * q8_0_block + i] = scale * static_cast<float>(static_cast<signed char>(p[2 + i]));
        }
      }
      return;
    }
  }
}

}  // namespace loopserve
