// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>

#include <loopserve/core/component.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/prefill/line_plan.hpp>

namespace loopserve {

/// Where a selection is made; with the seed it names the stream of random numbers, so plans are deterministic.
struct prefill_site {
  int layer = 0;
  int turn = 0;
  int chunk = 0;
  std::uint64_t seed = 0;
};

/// Chooses, for one chunk of new rows of one layer, which cells each query head attends to.
/// `select(site, q, kv, plan)`: q (rows, heads, head_dim) after RoPE; kv holds history and the chunk itself, so row i has position
/// kv.length() - rows + i; plan was reset to (heads, rows, kv.length()) and says dense. Meaning: loopserve/testing/selector_laws.hpp.
template <class S>
concept prefill_selector = component<S> && requires(S s, prefill_site site, tensor_view<float const, 3> q, kv_view<float> kv,
                                                    line_plan_view plan) { s.select(site, q, kv, plan); };

}  // namespace loopserve
