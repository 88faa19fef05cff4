// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "serve/demo_model.hpp"

using namespace loopserve;

namespace {

/// A selector that stops in a chosen call until it is let go, so that the test decides when the other thread acts.
struct gated : online_vertical_slash<cpu> {
  using online_vertical_slash<cpu>::online_vertical_slash;

  static inline std::atomic<int> calls{0};
  static inline std::atomic<int> gate{-1};  ///< the call that waits
  static inline std::atomic<bool> waiting{false};
  static inline std::atomic<bool> open{false};

  static void close_at(int call) {
    calls = 0;
    gate = call;
    waiting = false;
    open = false;
  }

  template <class Element>
  void select(prefill_site site, tensor_view<float const, 3> q, kv_view<Element> kv, line_plan_view plan) {
    if (calls++ == gate) {
      waiting = true;
      while (!open) { std::this_thread::yield(); }
    }
    online_vertical_slash<cpu>::select(site, q, kv, plan);
  }
};

struct config : defaults<cpu> {
  using selector = gated;
};

engine_options<config> small_chunks() {
  auto o = demo::sparse_options<config>();
  o.chunk_tokens = 64;
  return o;
}

}  // namespace

TEST_CASE("cancelled inside prefill, a turn ends within one layer and leaves the conversation as it was") {
  engine<config> e(demo::folder(), small_chunks());
  auto chat = e.open({.max_tokens = 96});
  auto const turns = demo::dialogue(0);
  gated::close_at(-1);
  chat.say(turns[0].user).text();
  auto untouched = chat.fork();
  auto const messages = chat.messages().size();

  gated::close_at(5);  // the second layer of the second chunk
  std::thread other([&] {
    while (!gated::waiting) { std::this_thread::yield(); }
    chat.cancel();
    gated::open = true;
  });
  auto const& report = chat.say(turns[1].user).report();
  other.join();
  CHECK(report.finish == finish_reason::cancelled);
  CHECK(gated::calls == 6);
  CHECK(chat.messages().size() == messages);

  gated::close_at(-1);
  CHECK(chat.say(turns[1].user).text() == untouched.say(turns[1].user).text());
}

TEST_CASE("cancelled while it answers, a turn keeps what it has said") {
  engine<config> e(demo::folder(), small_chunks());
  auto chat = e.open({.max_tokens = 96});
  gated::close_at(-1);
  auto spoken = chat.say(demo::dialogue(0)[0].user);
  std::string heard;
  for (auto const& piece : spoken) {
    heard += piece;
    if (heard.size() == piece.size()) {
      std::thread([&] { chat.cancel(); }).join();
    }
  }
  CHECK(chat.reports()[0].finish == finish_reason::cancelled);
  CHECK_FALSE(heard.empty());
  CHECK(chat.messages().back().content == heard);
}

TEST_CASE("many conversations, cancelled from many threads at any time, come to rest") {
  engine<config> e(demo::folder(), small_chunks());
  gated::close_at(-1);
  auto const turns = demo::dialogue(1);
  std::vector<conversation<config>> chats;
  for (int i = 0; i < 4; ++i) { chats.push_back(e.open({.max_tokens = 24})); }
  for (std::size_t t = 0; t < 2; ++t) {
    std::vector<answer<config>> answers;
    answers.reserve(chats.size());
    for (auto& c : chats) { answers.push_back(c.say(turns[t].user)); }
    std::vector<std::thread> others;
    for (auto& c : chats) {
      others.emplace_back([&c, wait = 3 * (&c - chats.data())] {
        std::this_thread::sleep_for(std::chrono::milliseconds(wait));
        c.cancel();
      });
    }
    for (auto& a : answers) { CHECK_NOTHROW(a.text()); }
    for (auto& o : others) { o.join(); }
  }
  for (auto& c : chats) { CHECK(c.reports().size() == 2); }
}
