// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/serve/scheduler.hpp>
#include <loopserve/testing/law.hpp>

namespace loopserve::testing {

namespace detail {

inline void names_each_once_in_its_phase(std::vector<turn_status> const& turns, step_plan const& plan) {
  std::vector<sequence_id> seen;
  auto const look = [&](sequence_id id, bool decoding) {
    auto const found = std::find_if(turns.begin(), turns.end(), [&](auto const& t) { return t.id == id; });
    require(found != turns.end(), "a step names only turns that are under way");
    require(found->decoding == decoding, "a step names a turn in its own phase");
    require(std::find(seen.begin(), seen.end(), id) == seen.end(), "a step names a turn at most once");
    seen.push_back(id);
  };
  for (auto id : plan.prefill) { look(id, false); }
  for (auto id : plan.decode) { look(id, true); }
  require(!seen.empty() || turns.empty(), "a step names at least one turn where some wait");
}

}  // namespace detail

/// Every scheduler: a step names turns that are under way, once, in their phase, and never none; no turn starves. Throws law_broken.
template <scheduler S>
void scheduler_laws(typename S::options options = {}) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    S s(options);
    counter_rng const rng{seed};
    std::uint64_t draw = 0;
    std::vector<turn_status> turns;
    std::vector<int> chunks, tokens;
    auto const n = static_cast<int>(1 + rng.below(draw++, 12));
    for (int i = 0; i < n; ++i) {
      turns.push_back({sequence_id(100 + i), false, static_cast<int>(1 + rng.below(draw++, 3000))});
      chunks.push_back(static_cast<int>(1 + rng.below(draw++, 4)));
      tokens.push_back(static_cast<int>(1 + rng.below(draw++, 20)));
    }
    int const work = 12 * 4 + 12 * 20;  // a step does at least one piece of it
    for (int step = 0; step < work && !turns.empty(); ++step) {
      auto const plan = s.plan(turns);
      detail::names_each_once_in_its_phase(turns, plan);
      auto const index = [&](sequence_id id) {
        return static_cast<std::size_t>(std::find_if(turns.begin(), turns.end(), [&](auto const& t) { return t.id == id; }) - turns.begin());
      };
      for (auto id : plan.decode) {
        auto const i = index(id);
        if (--tokens[i] > 0) { continue; }
        auto const at = static_cast<std::ptrdiff_t>(i);
        turns.erase(turns.begin() + at);
        chunks.erase(chunks.begin() + at);
        tokens.erase(tokens.begin() + at);
      }
      for (auto id : plan.prefill) {
        auto const i = index(id);
        if (--chunks[i] == 0) { turns[i] = {id, true, 0}; }
      }
    }
    require(turns.empty(), "no turn starves: " + std::to_string(turns.size()) + " of " + std::to_string(n) + " never ended");
  }
}

}  // namespace loopserve::testing
