// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include <loopserve/core/ids.hpp>

namespace loopserve {

/// A turn under way, as a scheduler sees it.
struct turn_status {
  sequence_id id{};
  bool decoding = false;
  int next_chunk_tokens = 0;  ///< of the chunk that prefill would run next; 0 while decoding
};

/// What one step runs: a whole chunk each of `prefill`, then one token each of `decode`.
struct step_plan {
  std::vector<sequence_id> prefill;
  std::vector<sequence_id> decode;
};

/// Decides which turns advance in a step. `plan(turns)` gets them in the order of arrival and must name at least one, each at most once and in its own
/// phase. Chunks are cut by the turn, not by the scheduler, so answers do not depend on it. Meaning: loopserve/testing/scheduler_laws.hpp.
template <class S>
concept scheduler = std::movable<S> && requires(S s, std::span<turn_status const> turns) {
  typename S::options;
  requires std::default_initializable<typename S::options>;
  requires std::constructible_from<S, typename S::options>;
  { s.plan(turns) } -> std::same_as<step_plan>;
};

/// `token_budget`: a step starts no further chunk that would take it beyond this many tokens; one chunk always runs. `max_decode`: answers that
/// advance in one step.
struct scheduler_options {
  int token_budget = 2048;
  int max_decode = 64;
};

namespace detail {

/// Waiting chunks from `first` on, cyclically, and decoding answers from `first_decode` on, both while the limits last.
inline step_plan fill_step(std::span<turn_status const> turns, scheduler_options const& limits, std::size_t first) {
  step_plan plan;
  int tokens = 0;
  for (std::size_t i = 0; i < turns.size(); ++i) {
    auto const& t = turns[(first + i) % turns.size()];
    if (t.decoding && static_cast<int>(plan.decode.size()) < limits.max_decode) {
      plan.decode.push_back(t.id);
      ++tokens;
    }
  }
  for (std::size_t i = 0; i < turns.size(); ++i) {
    auto const& t = turns[(first + i) % turns.size()];
    if (t.decoding || (!plan.prefill.empty() && tokens + t.next_chunk_tokens > limits.token_budget)) { continue; }
    plan.prefill.push_back(t.id);
    tokens += t.next_chunk_tokens;
  }
  return plan;
}

}  // namespace detail

/// First come, first served: the oldest waiting turn is prefilled first, answers advance together.
class fcfs {
 public:
  using options = scheduler_options;
  explicit fcfs(options o = {}) : options_(o) {}
  step_plan plan(std::span<turn_status const> turns) const { return detail::fill_step(turns, options_, 0); }

 private:
  options options_;
};

/// Each step starts with the turn after the one that the last step began with, so a short question does not wait behind a long document.
class round_robin {
 public:
  using options = scheduler_options;
  explicit round_robin(options o = {}) : options_(o) {}

  step_plan plan(std::span<turn_status const> turns) {
    std::size_t first = 0;
    for (std::size_t i = 0; i < turns.size(); ++i) {
      if (turns[i].id == last_first_) { first = (i + 1) % turns.size(); }
    }
    if (!turns.empty()) { last_first_ = turns[first].id; }
    return detail::fill_step(turns, options_, first);
  }

 private:
  options options_;
  sequence_id last_first_{-1};
};

static_assert(scheduler<fcfs> && scheduler<round_robin>);

}  // namespace loopserve
