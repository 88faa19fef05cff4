// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/ops/cover_lines.hpp>
#include <loopserve/ops/lanes.hpp>
#include <loopserve/ops/line_mass.hpp>
#include <loopserve/prefill/line_plan.hpp>
#include <loopserve/prefill/prefill_selector.hpp>
#include <loopserve/prefill/sample_rows.hpp>

namespace loopserve {

/// How the lines of a chunk's heads are chosen.
struct line_choice {
  prefill_site site = {};
  int rows = 64;       ///< rows that are looked at
  int last_rows = 16;  ///< of these, the last ones of the chunk
  cover_options cover = {};
};

/// The stream of random numbers of a layer and its seed; a head's is `.with(head).with(turn).with(chunk)`.
constexpr counter_rng layer_stream(prefill_site site) { return counter_rng{site.seed}.with(static_cast<std::uint64_t>(site.layer)); }
LOOPSERVE_HOST_DEVICE constexpr counter_rng head_stream(counter_rng const& layer, int head, int turn, int chunk) {
  return layer.with(static_cast<std::uint64_t>(head)).with(static_cast<std::uint64_t>(turn)).with(static_cast<std::uint64_t>(chunk));
}

/// The rows of a chunk of `rows` rows that head `head` is judged by.
inline std::vector<int> sampled_rows(line_choice const& c, int head, int rows) {
  return sample_rows(rows, c.rows, c.last_rows, head_stream(layer_stream(c.site), head, c.site.turn, c.site.chunk));
}

/// Scratch memory that choosing keeps from call to call, a piece for each thread. A device's comes from its pool, in order.
template <class Backend>
using line_scratch = std::vector<typename Backend::template buffer<float>>;

/// Samples rows of every head, scores them over all keys (line_scores) and covers alpha of their attention by lines (cover_lines): the plan of all heads. q
/// (rows, heads, head_dim) after RoPE; kv holds the history and the rows themselves. Heads are worked on side by side.
template <class Backend, class Element>
requires(Backend::space == memory_space::host) void choose_lines(Backend& b, line_choice const& c, tensor_view<float const, 3> q,
                                                                 kv_view<Element> kv, line_plan_view plan, line_scratch<Backend>& scratch) {
  auto const workers = std::min(lanes(b), plan.heads);
  if (static_cast<int>(scratch.size()) < workers) { scratch.resize(static_cast<std::size_t>(workers)); }
  auto const need = index_t{std::min(plan.rows, c.rows)} * plan.keys;
  std::atomic<int> next{0};
  parallel_for(workers, workers, [&](index_t worker) {
    auto& held = scratch[static_cast<std::size_t>(worker)];
    if (held.size() < need) {
      held = {};  // first give back
      held = b.template make_buffer<float>(need);
    }
    for (int head = next++; head < plan.heads; head = next++) {
      auto const rows = sampled_rows(c, head, plan.rows);
      auto positions = rows;
      for (int& p : positions) { p += plan.keys - plan.rows; }
      tensor_view<float, 2> const scores(held.data(), {static_cast<index_t>(rows.size()), plan.keys});
      line_scores(b, q, kv, rows, head, scores);
      cover_view out;
      out.verticals = plan.verticals + head * plan.stride;
      out.slashes = plan.slashes + head * plan.stride;
      out.vertical_count = plan.vertical_counts + head;
      out.slash_count = plan.slash_counts + head;
      out.dense = plan.dense + head;
      out.covered = plan.covered + head;
      cover_lines(b, tensor_view<float const, 2>(scores), positions, plan.rows, c.cover, out);
    }
  });
}

}  // namespace loopserve
