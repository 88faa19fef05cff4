// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/ids.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/model/model.hpp>

namespace loopserve {

/// Answers that share one product. A product over so few rows computes each row as if it were alone.
inline constexpr int decode_rows = 8;

/// The last input rows whose queries a compressor starts an answer from (METHOD: bootstrap).
inline constexpr int tail_rows = 64;

/// The float32 rows that pass from layer to layer; one set serves all conversations, since steps run one after the other.
template <class Backend>
class activations {
 public:
  /// Room for `rows` rows of `shape`'s widths.
  activations(Backend& backend, model_shape const& shape, int rows)
      : shape_(shape),
        hidden_(backend.template make_buffer<float>(index_t{rows} * shape.width)),
        queries_(backend.template make_buffer<float>(index_t{rows} * shape.heads * shape.head_dim)),
        attended_(backend.template make_buffer<float>(index_t{rows} * shape.heads * shape.head_dim)),
        keys_(backend.template make_buffer<float>(index_t{rows} * shape.kv_heads * shape.head_dim)),
        values_(backend.template make_buffer<float>(index_t{rows} * shape.kv_heads * shape.head_dim)) {}

  tensor_view<float, 2> hidden(int rows) { return {hidden_.data(), {rows, shape_.width}}; }
  tensor_view<float, 3> queries(int rows) { return {queries_.data(), {rows, shape_.heads, shape_.head_dim}}; }
  tensor_view<float, 3> attended(int rows) { return {attended_.data(), {rows, shape_.heads, shape_.head_dim}}; }
  tensor_view<float, 3> keys(int rows) { return {keys_.data(), {rows, shape_.kv_heads, shape_.head_dim}}; }
  tensor_view<float, 3> values(int rows) { return {values_.data(), {rows, shape_.kv_heads, shape_.head_dim}}; }

  static index_t bytes(model_shape const& shape, index_t rows) {
    return 4 * rows * (shape.width + 2 * index_t{shape.heads + shape.kv_heads} * shape.head_dim);
  }

 private:
  model_shape shape_;
  typename Backend::template buffer<float> hidden_, queries_, attended_, keys_, values_;
};

}  // namespace loopserve
