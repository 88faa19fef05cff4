// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include <loopserve/core/element.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/kv/cache_storage.hpp>
#include <loopserve/kv/kept_rows.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/kv/working_set.hpp>
#include <loopserve/model/model.hpp>
#include <loopserve/prefill/line_plan.hpp>
#include <loopserve/serve/activations.hpp>
#include <loopserve/serve/engine_options.hpp>

namespace loopserve {

/// What one conversation takes, in bytes, known before anything is allocated: the bytes of every buffer that the engine and its parts keep, as they are when
/// the context is full of input. A component that has no `planned_bytes` counts as nothing; layers with a sliding window count as if they had none.
///
/// Outside are what does not grow with the model or stays small beside what is counted: the float32 copies of norms and biases, rotary tables, the
/// pointers of page tables (8 bytes a page), token lists and reports; and what operations hold while they run or keep per thread, which is the backend's
/// own affair: on `cpu` a copy of a chunk's activations (of the widest layer, in bf16 where weights are), a thread's tiles: weights (64 outputs of the widest
/// layer, in bf16 or float32), keys and values below 1 MiB, and scores over the context of the choices in decode; on `cuda` 32 MiB for products, a copy of a chunk's
/// activations in 16 bits, scores, up to some 200 MiB while policies choose again (batch_scratch_bytes and one layer's choice), and where tokens are drawn 145 KiB a row; and
/// 4 bytes a token of the vocabulary for an answer with penalties.
struct memory_plan {
  int context_tokens = 0;
  index_t weights_bytes = 0;      ///< of all tensors, as they lie in their files
  index_t cache_bytes = 0;        ///< keys and values
  index_t compressor_bytes = 0;   ///< what the KV policy keeps beside them (a sketch, recent queries)
  index_t working_set_bytes = 0;  ///< gathered rows while an answer is generated, and the lists of them
  index_t scratch_bytes = 0;      ///< activations, logits, scores of sampled rows, lines, queries of the last input rows
  int longest_context = 0;        ///< in the memory limit that was asked for; without one, what the model was made for

  index_t total_bytes() const { return weights_bytes + cache_bytes + compressor_bytes + working_set_bytes + scratch_bytes; }
};

namespace detail {

/// Bytes of an element of a storage, whether its type is fixed or one of its options.
template <class Storage>
index_t element_bytes(typename Storage::options const& options) {
  if constexpr (requires { options.type; }) {
    return bytes_of(options.type, 1);
  } else {
    return Storage::element_bytes;
  }
}

template <class Config>
memory_plan plan_at(model_shape const& shape, index_t weights_bytes, engine_options<Config> const& options, int context) {
  using backend = typename Config::backend;
  using compressor = typename Config::compressor;
  using selector = typename Config::selector;
  cache_shape const cache{shape.layers, shape.kv_heads, shape.head_dim};
  int const chunk = std::min(options.chunk_tokens, context);
  memory_plan plan;
  plan.context_tokens = context;
  plan.weights_bytes = weights_bytes;
  plan.cache_bytes = Config::storage::planned_bytes(cache, options.storage, context);
  if constexpr (requires { compressor::planned_bytes(cache, shape.heads, options.compressor, context); }) {
    plan.compressor_bytes = compressor::planned_bytes(cache, shape.heads, options.compressor, context);
  }
  if constexpr (requires { compressor::planned_rows(options.compressor, context); }) {
    index_t const rows = compressor::planned_rows(options.compressor, context);
    auto const element = element_bytes<typename Config::storage>(options.storage);
    auto const lists = [&](index_t of) { return of > 0 ? shape.layers * kept_rows<backend>::planned_bytes(cache.kv_heads, of) : 0; };
    auto const sets = [&](index_t of) { return of > 0 ? shape.layers * working_set<backend>::planned_bytes(cache.kv_heads, cache.head_dim, element, of) : 0; };
    plan.working_set_bytes = sets(rows) + lists(rows);
    if constexpr (requires { compressor::planned_next_rows(options.compressor, context); }) {
      index_t const next = compressor::planned_next_rows(options.compressor, context);
      plan.working_set_bytes += lists(next) + (recalling_policy<compressor> ? 0 : sets(next));  // where a policy recalls, rows are gathered in the step
    }
  }
  plan.scratch_bytes = activations<backend>::bytes(shape, std::max(options.chunk_tokens, decode_rows)) +
                       index_t{decode_rows} * shape.vocabulary * index_t{sizeof(float)} + line_plan<backend>::planned_bytes(shape.heads, context);
  if (context > chunk) { plan.scratch_bytes += index_t{shape.layers} * tail_rows * shape.heads * shape.head_dim * index_t{sizeof(float)}; }
  if constexpr (requires { Config::model::scratch_bytes(shape, chunk); }) { plan.scratch_bytes += Config::model::scratch_bytes(shape, chunk); }
  int const threads = options.threads > 0 ? options.threads : available_threads();
  if constexpr (requires { selector::planned_bytes(options.selector, shape.heads, chunk, context, threads); }) {
    plan.scratch_bytes += selector::planned_bytes(options.selector, shape.heads, chunk, context, threads);
  }
  return plan;
}

}  // namespace detail

/// The plan for one conversation of `context` tokens, and the longest one that fits `options.memory_bytes`.
template <class Config>
memory_plan plan_memory(model_shape const& shape, index_t weights_bytes, engine_options<Config> const& options, int context) {
  auto plan = detail::plan_at<Config>(shape, weights_bytes, options, context);
  int const most = options.context_tokens > 0 ? options.context_tokens : shape.max_context;
  plan.longest_context = most;
  if (options.memory_bytes == 0) { return plan; }
  auto const fits = [&](int tokens) { return detail::plan_at<Config>(shape, weights_bytes, options, tokens).total_bytes() <= options.memory_bytes; };
  int low = 0;
  for (int high = most; low < high;) {
    int const middle = low + (high - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  plan.longest_context = low;
  return plan;
}

}  // namespace loopserve
