// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/core/ids.hpp>
#include <loopserve/kv/kept_rows.hpp>
#include <loopserve/kv/working_set.hpp>
#include <loopserve/model/sampling/sampler.hpp>
#include <loopserve/prefill/line_tally.hpp>
#include <loopserve/serve/seen_tokens.hpp>
#include <loopserve/serve/tally.hpp>
#include <loopserve/serve/turn_report.hpp>

namespace loopserve {

enum class turn_phase : std::uint8_t { idle, prefill, decode };

/// What one layer attends to while an answer is generated.
template <class Backend>
struct layer_choice {
  explicit layer_choice(Backend& backend) : keep(backend), rows(backend), next_keep(backend), next_rows(backend) {}
  kept_rows<Backend> keep;
  working_set<Backend> rows;
  kept_rows<Backend> next_keep;  ///< what is chosen beside a step, until its end
  working_set<Backend> next_rows;

  void adopt_next() {
    std::swap(keep, next_keep);
    std::swap(rows, next_rows);
  }
};

/// The turn under way.
template <class Backend>
struct turn_progress {
  turn_phase phase = turn_phase::idle;
  std::vector<token_id> tokens;  ///< the whole conversation: the input, then the answer as it grows (without its stop token)
  int input = 0;                 ///< how many of them are input: the context of the answer
  int first = 0;                 ///< input tokens that the cache already held
  int chunk = 0;
  int answer_limit = 0;
  finish_reason at_limit = finish_reason::max_tokens;
  std::vector<typename Backend::template buffer<float>> tail;  ///< per layer: queries of the last input rows that earlier chunks brought
  std::vector<layer_choice<Backend>> layers;
  tally<Backend, line_tally> lines;   ///< (layers, heads)
  tally<Backend, double> kept_share;  ///< (1): turn_report::kept_share_sum, without what the host knows
  std::optional<sampler> pick;
  seen_tokens<Backend> seen;  ///< where the sampling penalises
  turn_report report;

  int answered() const { return static_cast<int>(tokens.size()) - input; }
};

/// A conversation as tokens. The storage holds the keys and values of the first `cached.size()` tokens; outside a step every layer holds as many.
template <class Config>
struct dialogue {
  using backend_type = typename Config::backend;
  using compressor_type = typename Config::compressor;

  dialogue(sequence_id storage_id, compressor_type policy) : id(storage_id), compressor(std::move(policy)) {}

  sequence_id id;
  compressor_type compressor;
  std::vector<token_id> cached;
  turn_progress<backend_type> turn;
  std::vector<turn_report> reports;  ///< of finished turns
  std::exception_ptr failure;        ///< of the last turn
  std::atomic<bool> cancelled{false};
};

}  // namespace loopserve
