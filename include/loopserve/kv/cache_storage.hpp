// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// The numbers of a model that a storage needs.
struct cache_shape {
  int layers = 0;
  int kv_heads = 0;
  int head_dim = 0;
};

/// Owns the keys and values of many sequences in one element type, one storage for an engine.
///   Storage(backend&, cache_shape, options)
///   open() -> sequence_id; release(id); fork(id) -> sequence_id (same content; storages that can, share until one side writes)
///   reserve(id, tokens)       room for a total of `tokens` in every layer, or capacity_error with nothing changed; after it append cannot fail
///   append(id, layer, k, v)   k, v (rows, kv_heads, head_dim) float32 after RoPE, converted to the element type; at the end of that layer
///   length(id, layer)         tokens held
///   view(id, layer)           all of them; valid until the next call that changes this sequence
///   truncate(id, tokens)      all layers, to at most that length
///   bytes()                   physically held now, shared pages once; bytes(id): what this sequence refers to
/// Meaning: loopserve/testing/storage_laws.hpp.
template <class S>
concept cache_storage = std::movable<S> && requires(S s, S const& const_s, sequence_id id, int layer, int tokens, tensor_view<float const, 3> rows) {
  typename S::backend_type;
  typename S::element_type;
  typename S::options;
  requires std::constructible_from<S, typename S::backend_type&, cache_shape, typename S::options>;
  { s.open() } -> std::same_as<sequence_id>;
  { s.fork(id) } -> std::same_as<sequence_id>;
  s.release(id);
  s.reserve(id, tokens);
  s.append(id, layer, rows, rows);
  s.truncate(id, tokens);
  { const_s.length(id, layer) } -> std::same_as<int>;
  { const_s.view(id, layer) } -> std::same_as<kv_view<typename S::element_type>>;
  { const_s.bytes() } -> std::same_as<index_t>;
  { const_s.bytes(id) } -> std::same_as<index_t>;
};

}  // namespace loopserve
