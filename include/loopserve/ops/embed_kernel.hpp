// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/element.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/core/weight_view.hpp>
#include <loopserve/dev/report.hpp>

namespace loopserve {

/// How a stored row is read element by element; q8_0 is its blocks of a scale and 32 signed bytes, which lie at even addresses.
template <element_type Type>
struct stored_row {
  unsigned char const* row;

  LOOPSERVE_DEVICE float operator[](index_t i) const {
    if constexpr (Type == element_type::f32) {
      return dev::load(reinterpret_cast<float const*>(row) + i);
    } else if constexpr (Type == element_type::f16) {
      return dev::load(reinterpret_cast<f16 const*>(row) + i);
    } else if constexpr (Type == element_type::bf16) {
      return dev::load(reinterpret_cast<bf16 const*>(row) + i);
    } else {
      auto const* const block = row + i / q8_0_block * q8_0_block_bytes;
      float const scale = dev::load(reinterpret_cast<f16 const*>(block));
      return scale * static_cast<float>(dev::load(reinterpret_cast<signed char const*>(block + 2 + i % q8_0_block)));
    }
  }
};

/// A block a row. An id that the table does not have is reported, and its row is NaN.
template <element_type Type, class Out>
struct embed_kernel {
  static constexpr int threads = 128;

  weight_view table;
  index_t row_bytes;
  token_id const* ids;  // (rows)
  tensor_view<Out, 2> out;
  fault_record* faults;

  LOOPSERVE_DEVICE void operator()() const {
    index_t const r = dev::block().x;
    int const id = raw(dev::load(ids + r));
    bool const known = id >= 0 && id < table.rows;
    if (!known && dev::thread() == 0) { dev::report(faults, fault::token_outside_vocabulary, id); }
    stored_row<Type> const row{static_cast<unsigned char const*>(table.data) + (known ? id : 0) * row_bytes};
    for (index_t i = dev::thread(); i < table.cols; i += threads) {
      dev::store(&out(r, i), static_cast<Out>(known ? row[i] : __builtin_nanf("")));
    }
  }
};

}  // namespace loopserve
