// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/prefill/line_plan.hpp>

namespace loopserve {

/// One sequence's share of a (ragged) batch of prefill attention. Row i of q has position kv.length() - rows + i and sees keys up to it.
/// Query head h reads KV head h / (heads / kv_heads).
template <class Element>
struct prefill_job {
  tensor_view<float const, 3> q;    ///< (rows, heads, head_dim), after RoPE
  kv_view<Element> kv;              ///< history and the rows themselves
  line_plan_view const* plan;       ///< null: dense
  int window;                       ///< > 0: a row sees only the last `window` keys up to itself (sliding window, dense inside)
  tensor_view<float, 3> out;        ///< (rows, heads, head_dim)
};

/// One sequence's share of a (ragged) batch of decode attention: one query row over the tokens of up to two views (a working set and the generated
/// tokens, or the whole cache and an empty view), each token once. Tokens at positions below `first_position` are passed over (sliding window).
template <class Element>
struct decode_job {
  tensor_view<float const, 2> q;              ///< (heads, head_dim), after RoPE
  std::array<kv_view<Element>, 2> parts;      ///< attended in this order; tokens == 0: none
  int first_position;
  tensor_view<float, 2> out;                  ///< (heads, head_dim)
};

}  // namespace loopserve
