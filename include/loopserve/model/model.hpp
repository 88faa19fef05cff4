// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <span>

#include <loopserve/core/ids.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// The numbers that describe a decoder to the engine.
struct model_shape {
  int layers = 0;
  int width = 0;       ///< hidden size
  int heads = 0;       ///< query heads
  int kv_heads = 0;
  int head_dim = 0;    ///< not always width / heads
  int feed_forward = 0;
  int vocabulary = 0;
  int max_context = 0; ///< tokens, as the model's files say
};

/// A decoder-only transformer, a layer at a time: the engine owns the loop, so a model never hears of selectors, policies or pages.
///   embed(ids, x)                             x (rows, width)
///   project(layer, x, positions, q, k, v)     norm, products, biases, q/k norms, RoPE at `positions` (rows); q (rows, heads, head_dim), k and v (rows, kv_heads, head_dim)
///   mix(layer, attended, x)                   x += output product of attended (rows, heads, head_dim), then x += feed forward of its norm
///   logits(x, out)                            final norm and head; x (rows, width), out (rows, vocabulary)
///   window(layer)                             sliding window in tokens, 0 for none
/// A row's results do not depend on the other rows of a call. All activations are float32. Everything lies in the backend's memory, ids and positions too.
template <class M>
concept model = std::movable<M> && requires(M m, M const& const_m, int layer, std::span<token_id const> ids, std::span<int const> positions,
                                            tensor_view<float, 2> x, tensor_view<float, 3> q, tensor_view<float const, 3> attended) {
  typename M::backend_type;
  { const_m.shape() } -> std::convertible_to<model_shape const&>;
  { const_m.window(layer) } -> std::same_as<int>;
  m.embed(ids, x);
  m.project(layer, x, positions, q, q, q);
  m.mix(layer, attended, x);
  m.logits(x, x);
};

}  // namespace loopserve
