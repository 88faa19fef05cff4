// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/model/resident_weights.hpp>
#include <loopserve/ops/add.hpp>
#include <loopserve/ops/embed.hpp>
#include <loopserve/ops/matmul.hpp>
#include <loopserve/ops/rmsnorm.hpp>
#include <loopserve/ops/rope.hpp>
#include <loopserve/ops/silu_mul.hpp>

namespace loopserve {

/// The pre-norm transformer decoder that Llama, Mistral, Qwen2 and Qwen3 share; what differs between them is data: biases, norms of queries and keys, the
/// rotary table, windows. RMSNorm (Zhang and Sennrich, arXiv 1910.07467), RoPE (Su et al., 2104.09864), SwiGLU (Shazeer, 2002.05202).
template <class Backend>
class decoder {
 public:
  using backend_type = Backend;

  decoder(Backend& backend, decoder_weights weights)
      : backend_(&backend),
        shape_(weights.shape),
        norm_eps_(weights.norm_eps),
        rope_scale_(weights.rope_scale),
        rope_interleaved_(weights.rope_interleaved),
        windows_(weights.windows),
        resident_(backend, checked(std::move(weights))) {}

  model_shape const& shape() const { return shape_; }
  int window(int layer) const { return windows_.empty() ? 0 : windows_[static_cast<std::size_t>(layer)]; }
  index_t bytes() const { return report().bytes; }
  weights_report const& report() const { return resident_.report(); }

  /// What calls with up to `rows` rows keep for scratch.
  static index_t scratch_bytes(model_shape const& shape, index_t rows) { return 4 * rows * (shape.width + 2 * index_t{shape.feed_forward}); }

  void embed(std::span<token_id const> ids, tensor_view<float, 2> x) {
    using loopserve::embed;  // past the member of the same name, to the backend's overload
    embed(*backend_, weights().embedding, ids, x);
  }

  void project(int layer, tensor_view<float const, 2> x, std::span<int const> positions, tensor_view<float, 3> q, tensor_view<float, 3> k,
               tensor_view<float, 3> v) {
    auto const& w = weights().layers[static_cast<std::size_t>(layer)];
    auto const normed = scratch(normed_, x.extent(0), shape().width);
    rmsnorm(*backend_, x, w.attention_norm, norm_eps_, normed);
    matmul_parts(*backend_, normed, {{w.q, w.q_bias, flat(q)}, {w.k, w.k_bias, flat(k)}, {w.v, w.v_bias, flat(v)}});
    if (!w.q_norm.empty()) { rmsnorm(*backend_, by_head(q), w.q_norm, norm_eps_, by_head(q)); }
    if (!w.k_norm.empty()) { rmsnorm(*backend_, by_head(k), w.k_norm, norm_eps_, by_head(k)); }
    rope_view const table{weights().rope_inv_freq.data(), shape().head_dim / 2, rope_scale_, rope_interleaved_};
    rope(*backend_, q, positions, table);
    rope(*backend_, k, positions, table);
  }

  void mix(int layer, tensor_view<float const, 3> attended, tensor_view<float, 2> x) {
    auto const& w = weights().layers[static_cast<std::size_t>(layer)];
    auto const rows = x.extent(0);
    auto const normed = scratch(normed_, rows, shape().width);
    auto const gate = scratch(gate_, rows, shape().feed_forward);
    auto const up = scratch(up_, rows, shape().feed_forward);
    matmul(*backend_, flat(attended), w.o, w.o_bias, normed);
    add(*backend_, normed, x);
    rmsnorm(*backend_, x, w.feed_forward_norm, norm_eps_, normed);
    matmul_parts(*backend_, normed, {{w.gate, {}, gate}, {w.up, {}, up}});
    silu_mul(*backend_, gate, up, gate);
    matmul(*backend_, gate, w.down, {}, normed);
    add(*backend_, normed, x);
  }

  void logits(tensor_view<float const, 2> x, tensor_view<float, 2> out) {
    auto const normed = scratch(normed_, x.extent(0), shape().width);
    rmsnorm(*backend_, x, weights().final_norm, norm_eps_, normed);
    matmul(*backend_, normed, weights().head, {}, out);
  }

 private:
  using buffer = typename Backend::template buffer<float>;

  static decoder_weights checked(decoder_weights w) {
    check(static_cast<int>(w.layers.size()) == w.shape.layers, "a decoder has weights for each of its layers");
    check(w.shape.kv_heads > 0 && w.shape.heads % w.shape.kv_heads == 0, "the query heads are a multiple of the KV heads");
    check(static_cast<int>(w.rope_inv_freq.size()) == w.shape.head_dim / 2, "the rotary table has head_dim / 2 frequencies");
    return w;
  }
  decoder_view const& weights() const { return resident_.view(); }

  template <class T>
  static tensor_view<T, 2> flat(tensor_view<T, 3> t) {
    return {t.data(), {t.extent(0), t.extent(1) * t.extent(2)}};
  }
  static tensor_view<float, 2> by_head(tensor_view<float, 3> t) { return {t.data(), {t.extent(0) * t.extent(1), t.extent(2)}}; }

  /// Grows to the largest chunk seen and stays.
  tensor_view<float, 2> scratch(buffer& memory, index_t rows, index_t cols) {
    if (memory.size() < rows * cols) {
      memory = {};  // first give back
      memory = backend_->template make_buffer<float>(rows * cols);
    }
    return {memory.data(), {rows, cols}};
  }

  Backend* backend_;
  model_shape shape_;
  float norm_eps_;
  float rope_scale_;
  bool rope_interleaved_;
  std::vector<int> windows_;
  resident_weights<Backend> resident_;
  buffer normed_, gate_, up_;
};

}  // namespace loopserve
