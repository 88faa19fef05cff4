// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

#include <loopserve/core/component.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/kv/kept_rows.hpp>
#include <loopserve/kv/kv_budget.hpp>

namespace loopserve {

/// Chooses, while an answer is generated, which tokens of the context (everything before the answer) each KV head of each layer attends to. The generated
/// tokens themselves are always attended and are none of its business. One object serves all layers of one conversation; it sizes its
/// per-layer state when it first hears of a layer.
///
/// Order of calls, for each layer l:
///   begin_turn(l, tail_queries, kv)     once after prefill; tail_queries (rows, heads, head_dim): the last input rows (up to 64) after RoPE; kv: the context
///   then for every generated token:
///     observe(l, q)                     q (heads, head_dim) of this token, after RoPE
///     if (due(l)) choose(l, kv, keep)   may be due at the first token already; until the first choice everything is attended
///     recall(l, q, kv, keep)            only where the policy has it: `keep` becomes the set for this very token
/// A batched_policy's choices are made for all layers at once instead, before a token's first layer: see there.
/// `kv` is always the context, never the generated tokens. A choice never exceeds budget().at(context), and is all() where that reaches the context.
/// truncate(n): tokens from n on are gone from the cache (rewind, divergent history), state built from them must go too.
/// fork(): an independent copy. Meaning: loopserve/testing/policy_laws.hpp.
template <class P>
concept kv_policy = component<P> && requires(P p, P const& const_p, int layer, tensor_view<float const, 3> tail, tensor_view<float const, 2> q, kv_view<float> kv,
                                             kept_rows<typename P::backend_type>& keep, int tokens) {
  p.begin_turn(layer, tail, kv);
  p.observe(layer, q);
  { p.due(layer) } -> std::same_as<bool>;
  p.choose(layer, kv, keep);
  { const_p.budget() } -> std::same_as<kv_budget>;
  p.truncate(tokens);
  { const_p.fork() } -> std::same_as<P>;
};

/// A policy that also looks, at every token, for what the current query asks for (METHOD: recall).
template <class P>
concept recalling_policy = kv_policy<P> && requires(P p, int layer, tensor_view<float const, 2> q, kv_view<float> kv,
                                                    kept_rows<typename P::backend_type>& keep) { p.recall(layer, q, kv, keep); };

/// A policy whose choices for many layers and conversations can share their work: choose_on(queue, layer, kv, keep) is choose(layer, kv, keep) with `queue` in the place of
/// the backend for all that it computes and for all scratch, since on a device choices of other layers run at the same time (each_job in ops/each_job.hpp).
///
/// The engine asks due() for all layers before a token's first layer, and makes all these choices then. So what is due at the first token serves it, as ever, and what falls
/// due with a token's own query serves from the next token on. Order of calls for a token:
///   for each layer: if (due(l)) choose_on(queue, l, kv, keep)
///   for each layer: observe(l, q), then recall(l, q, kv, keep) where the policy has it
template <class P>
concept batched_policy = kv_policy<P> && requires(P p, typename P::backend_type& queue, int layer, kv_view<float> kv, kept_rows<typename P::backend_type>& keep) {
  p.choose_on(queue, layer, kv, keep);
};

/// A batched_policy whose choices, where beside() says so, are made beside a decode step: choose_on() is called before the step's first layer, for a queue that runs beside the
/// step, and the step goes on as if it had not been; then adopt(layer) makes the choice hold, so that it serves from the next token on. In between, choose_on's work reads
/// nothing that observe() writes, and recall() sees what was chosen before. A layer's first choice of an answer is adopted before its step goes on.
template <class P>
concept overlapping_policy = batched_policy<P> && requires(P p, P const& const_p, int layer) {
  { const_p.beside() } -> std::same_as<bool>;
  p.adopt(layer);
};

}  // namespace loopserve
