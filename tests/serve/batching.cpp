// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "serve/demo_model.hpp"

using namespace loopserve;

namespace {

/// Notes the bits of every row of logits, so that two ways of computing the same conversations can be compared to the last bit.
struct noting_decoder : decoder<cpu> {
  using decoder<cpu>::decoder;

  void logits(tensor_view<float const, 2> x, tensor_view<float, 2> out) {
    decoder<cpu>::logits(x, out);
    for (index_t r = 0; r < out.extent(0); ++r) {
      std::uint64_t hash = 1469598103934665603u;
      for (index_t c = 0; c < out.extent(1); ++c) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, &out(r, c), sizeof bits);
        hash = (hash ^ bits) * 1099511628211u;
      }
      ++rows_seen()[hash];
    }
  }

  static std::map<std::uint64_t, int>& rows_seen() {
    static std::map<std::uint64_t, int> seen;
    return seen;
  }
};

template <class Scheduler>
struct noting : defaults<cpu> {
  using model = noting_decoder;
  using scheduler = Scheduler;
};

template <class Config>
engine_options<Config> options_with(int threads) {
  auto o = demo::sparse_options<Config>();
  o.threads = threads;
  return o;
}

std::vector<int> const chosen{0, 7, 13};

/// The bits of all logits of the chosen dialogues' first three turns, each conversation alone.
std::map<std::uint64_t, int> alone(int threads) {
  using config = noting<fcfs>;
  noting_decoder::rows_seen().clear();
  for (int n : chosen) {
    engine<config> e(demo::folder(), options_with<config>(threads));
    auto chat = e.open({.max_tokens = 96});
    auto const turns = demo::dialogue(n);
    for (int t = 0; t < 3; ++t) { chat.say(turns[static_cast<std::size_t>(t)].user).text(); }
  }
  return noting_decoder::rows_seen();
}

}  // namespace

TEST_CASE_TEMPLATE("a batch gives each conversation what it gets alone, bit for bit", Scheduler, fcfs, round_robin) {
  auto const expected = alone(1);
  CHECK(expected.size() > 30);
  using config = noting<Scheduler>;
  noting_decoder::rows_seen().clear();
  engine<config> e(demo::folder(), options_with<config>(2));
  std::vector<conversation<config>> chats;
  std::vector<std::vector<demo::said>> scripts;
  for (int n : chosen) {
    chats.push_back(e.open({.max_tokens = 96}));
    scripts.push_back(demo::dialogue(n));
  }
  for (std::size_t t = 0; t < 3; ++t) {
    std::vector<answer<config>> answers;
    answers.reserve(chats.size());
    for (std::size_t i = 0; i < chats.size(); ++i) { answers.push_back(chats[i].say(scripts[i][t].user)); }
    for (auto& a : answers) { a.text(); }
  }
  CHECK(noting_decoder::rows_seen() == expected);
}

TEST_CASE("results do not depend on the number of threads") { CHECK(alone(2) == alone(1)); }

TEST_CASE("one conversation's failure does not touch the others") {
  using config = defaults<cpu>;
  engine<config> e(demo::folder(), demo::sparse_options<config>());
  auto const turns = demo::dialogue(0);
  auto const expected = demo::play(e, {turns[0]});
  auto good = e.open({.max_tokens = 96});
  auto bad = e.open({.max_tokens = 96});
  auto spoken = good.say(turns[0].user);
  std::string longest;
  for (int i = 0; i < 200; ++i) { longest += turns[0].user; }
  CHECK_THROWS_AS((void)bad.say(longest), capacity_error);
  CHECK(spoken.text() == expected[0]);
}
