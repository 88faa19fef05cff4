// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include <loopserve/core/error.hpp>
#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/cover_lines.cuh>
#include <loopserve/prefill/choose_lines.hpp>
#include <loopserve/prefill/sample_rows_kernel.hpp>

namespace loopserve {

/// The host's choose_lines on a device, with `held` logits at a time: rows are sampled there as on the host, and the plan is written there. A fixed number of
/// launches for a shape, one for the rows and seven for as many heads as fit; nothing waits. What is held: detail::device_line_bytes.
template <device_backend B, class Element>
void choose_lines(B const& b, line_choice const& c, tensor_view<float const, 3> q, kv_view<Element> kv, line_plan_view plan,
                  line_scratch<B>&, index_t held = detail::line_logits_at_once) {
  check(plan.heads == q.extent(1) && plan.rows == q.extent(0) && plan.keys == kv.length(),
        "choose_lines: the plan must be one of q and the keys");
  if (plan.rows == 0 || plan.heads == 0) { return; }
  int const sampled = std::min(plan.rows, c.rows);
  auto positions = b.template make_buffer<int>(index_t{plan.heads} * sampled);
  b.launch({blocks_for(sampled, sample_rows_kernel::threads), plan.heads},
           sample_rows_kernel{layer_stream(c.site), c.site.turn, c.site.chunk, plan.rows, c.rows, c.last_rows, plan.keys - plan.rows,
                              sampled, positions.data()});
  int const at_once = detail::line_heads_at_once(plan.heads, sampled, plan.keys, held);
  for (int first = 0; first < plan.heads; first += at_once) {
    int const heads = std::min(at_once, plan.heads - first);
    int const* const its = positions.data() + index_t{first} * sampled;
    auto const scored = score_lines(b, q, kv, first, heads, its, sampled);
    cover_heads(b, scored.cells(), heads, its, sampled, plan.rows, plan.keys, c.cover,
                {plan.stride, plan.verticals + first * plan.stride, plan.slashes + first * plan.stride, plan.vertical_counts + first,
                 plan.slash_counts + first, plan.dense + first, plan.covered + first});
  }
}

}  // namespace loopserve
