// SPDX-License-Identifier: Apache-2.0
/// KV policies whose choices run on a second queue while a step goes on: nothing that the step does reaches them, whichever queue is late.
#include <doctest/doctest.h>

#include <span>
#include <utility>
#include <vector>

#include <loopserve/serve/second_queue.hpp>

#include "emulator/two_queues.hpp"
#include "talk_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// What a conversation attends to in 14 steps, as the engine makes them: an answer's first choice at once, later ones beside a step.
template <class Policy>
std::vector<std::vector<int>> attended(two_queues::late late, typename Policy::options const& o) {
  two_queues::which = late;
  two_queues b;
  second_queue<two_queues> second(b);
  talk<Policy> t(b, o, 131, 7);
  std::vector<kept_rows<two_queues>> next;
  std::vector<working_set<two_queues>> next_held;
  for (int l = 0; l < layers; ++l) {
    next.emplace_back(b);
    next_held.emplace_back(b);
  }
  std::vector<std::vector<int>> seen;
  for (int token = 0; token < 14; ++token) {
    std::vector<int> beside_it;
    for (int l = 0; l < layers; ++l) {
      if (!t.policy.due(l)) { continue; }
      if (t.keep[t.at(l)].all()) {
        t.choose(b, l);
        t.policy.adopt(l);
      } else {
        beside_it.push_back(l);
      }
    }
    second.run(b, std::span(beside_it), [&](auto& queue, int l) { t.choose(queue, l, next[t.at(l)], next_held[t.at(l)]); });
    for (int l = 0; l < layers; ++l) { t.hear(l, token); }
    b.synchronize();
    seen.push_back(t.kept());
    second.join(b);
    for (int l : beside_it) {
      t.policy.adopt(l);
      if constexpr (!recalling_policy<Policy>) {
        std::swap(t.keep[t.at(l)], next[t.at(l)]);
        std::swap(t.held[t.at(l)], next_held[t.at(l)]);
      }
    }
  }
  two_queues::which = two_queues::late::neither;
  return seen;
}

}  // namespace

TEST_CASE("progressive chooses by the queries before the step, with rows of its own") {
  progressive_options o;
  o.budget = 25;
  o.interval = 4;
  o.beside = o.bootstrap = true;
  auto const want = attended<progressive<two_queues>>(two_queues::late::neither, o);
  CHECK(want[4] == want[3]);  // due before token 4, and kept from token 5 on
  CHECK(want[5] != want[4]);
  CHECK(want[8] == want[5]);
  CHECK(want[9] != want[8]);
  for (auto const late : {two_queues::late::first, two_queues::late::second}) { CHECK(attended<progressive<two_queues>>(late, o) == want); }
}

TEST_CASE("with_recall goes on with the core that it had, by full keys or by its sketch") {
  with_recall_settings<progressive_options> o;
  o.budget = 30;
  o.core.interval = 4;
  o.core.beside = true;
  for (bool const sketched : {false, true}) {
    o.sketch_core = sketched;
    auto const want = attended<recalling<two_queues>>(two_queues::late::neither, o);
    for (auto const late : {two_queues::late::first, two_queues::late::second}) { CHECK(attended<recalling<two_queues>>(late, o) == want); }
  }
}
