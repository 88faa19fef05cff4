// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <loopserve/core/ids.hpp>

namespace loopserve {

/// Why an answer ended.
enum class finish_reason : std::uint8_t { stop_token, stop_string, max_tokens, context_full, cancelled, failed };

constexpr char const* name_of(finish_reason reason) {
  switch (reason) {
    case finish_reason::stop_token: return "stop_token";
    case finish_reason::stop_string: return "stop_string";
    case finish_reason::max_tokens: return "max_tokens";
    case finish_reason::context_full: return "context_full";
    case finish_reason::cancelled: return "cancelled";
    case finish_reason::failed: return "failed";
  }
  return "?";
}

/// What prefill of one layer and query head attended to, summed over the turn's chunks.
struct head_coverage {
  index_t cells = 0;         ///< of the union of lines
  index_t causal_cells = 0;  ///< what dense attention would have visited
  double covered = 0;        ///< mean over the new rows of the attention mass kept on the sampled rows; NaN where the selector does not know

  double area() const { return causal_cells > 0 ? static_cast<double>(cells) / static_cast<double>(causal_cells) : 1.0; }
};

/// Milliseconds by phase. `selection` and `attention` are parts of `prefill`; the last four are parts of `decode`. On a device the parts are the time to queue the work,
/// and the last chunk waits for all that was queued.
struct turn_times {
  double prefill_ms = 0;
  double selection_ms = 0;
  double attention_ms = 0;
  double decode_ms = 0;
  double decode_attention_ms = 0;
  double reselection_ms = 0;
  double recall_ms = 0;
  double gather_ms = 0;
};

/// What one turn took and what it skipped. Counts are tokens unless a name says otherwise.
struct turn_report {
  int turn = 0;
  int tokens_in = 0;           ///< the whole rendered conversation, this turn's input included
  int reused = 0;              ///< of those, taken from the cache
  int recomputed = 0;          ///< were in the cache and had to be computed again
  std::string recomputed_why;  ///< empty where nothing was
  int dropped_turns = 0;       ///< oldest turns left out because the context was full
  int tokens_out = 0;
  finish_reason finish = finish_reason::stop_token;

  int heads = 0;
  std::vector<head_coverage> coverage;  ///< (layers, heads)
  int selections = 0;                   ///< times the compressor chose a layer's kept set
  double kept_share_sum = 0;            ///< over decoded tokens, layers and KV heads: context rows attended / context
  index_t kept_share_count = 0;
  index_t kv_bytes = 0;                 ///< this conversation's cache after the turn
  index_t working_set_bytes = 0;
  turn_times ms;

  head_coverage total() const {
    head_coverage sum;
    for (auto const& h : coverage) {
      sum.cells += h.cells;
      sum.causal_cells += h.causal_cells;
      sum.covered += h.covered;
    }
    if (!coverage.empty()) { sum.covered /= static_cast<double>(coverage.size()); }
    return sum;
  }

  /// Cells attended in prefill / cells of dense prefill.
  double area() const { return total().area(); }

  /// Mean over decoded tokens, layers and KV heads of context rows attended / context; 1 where no token was decoded.
  double kv_kept() const { return kept_share_count > 0 ? kept_share_sum / static_cast<double>(kept_share_count) : 1.0; }
};

}  // namespace loopserve
