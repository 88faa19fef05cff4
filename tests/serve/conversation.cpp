// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "serve/demo_model.hpp"

using namespace loopserve;

namespace {

using config = defaults<cpu>;
using sparse_engine = engine<config>;

std::string const budget_note = "The amber bear budget is 431. We met today and talked for a while. What is the amber bear budget?";
std::string const code_note = "Note that the golden prairie code is 956. Tell me the golden prairie code. Tell me the amber bear budget.";

}  // namespace

TEST_CASE("an answer streams in pieces that add up to its text") {
  sparse_engine e(demo::folder());
  auto chat = e.open({.max_tokens = 96});
  std::string joined;
  int pieces = 0;
  for (auto const& piece : chat.say(budget_note)) {
    joined += piece;
    ++pieces;
  }
  CHECK(pieces > 3);
  CHECK(joined == "The amber bear budget is 431.");
  CHECK(chat.reports()[0].finish == finish_reason::stop_token);
  CHECK(chat.messages().back().content == joined);
}

TEST_CASE("the next turn reuses all that was computed and recalls what was said") {
  sparse_engine e(demo::folder(), demo::sparse_options<config>());
  auto chat = e.open({.max_tokens = 96});
  auto first = chat.say(budget_note).report();
  auto const& second = chat.say(code_note).report();
  // All but the last sampled token and what stands after it has keys and values.
  CHECK(second.reused == first.tokens_in + first.tokens_out);
  CHECK(second.recomputed == 0);
  CHECK(chat.messages().back().content.find("956") != std::string::npos);
}

TEST_CASE("rewinding gives the answer that was given before") {
  sparse_engine e(demo::folder(), demo::sparse_options<config>());
  auto chat = e.open({.max_tokens = 96});
  chat.say(budget_note).text();
  auto const once = chat.say(code_note).text();
  chat.rewind(1);
  CHECK(chat.reports().size() == 1);
  CHECK(chat.messages().size() == 2);
  CHECK(chat.say(code_note).text() == once);
  chat.rewind(0);
  CHECK(chat.messages().empty());
  CHECK(chat.say(budget_note).report().reused == 0);
  CHECK_THROWS_WITH_AS(chat.rewind(2), "cannot rewind to turn 2: the conversation has 1 turns", error);
}

TEST_CASE("a fork goes its own way") {
  sparse_engine e(demo::folder(), demo::sparse_options<config>());
  auto chat = e.open({.max_tokens = 96});
  chat.say(budget_note).text();
  auto other = chat.fork();
  auto const mine = chat.say(code_note).text();
  CHECK(other.messages().size() == 2);
  auto forked = other.say(code_note);
  CHECK(forked.text() == mine);
  CHECK(forked.report().reused == chat.reports()[1].reused);
}

TEST_CASE("a fork shares the cache") {
  sparse_engine e(demo::folder(), demo::sparse_options<config>());
  auto chat = e.open({.max_tokens = 96});
  for (auto const& turn : demo::dialogue(0)) { chat.say(turn.user).text(); }
  auto const before = e.cache_bytes();
  auto const other = chat.fork();
  CHECK(e.cache_bytes() == before);
}

TEST_CASE("a conversation gives its memory back") {
  sparse_engine e(demo::folder());
  {
    auto chat = e.open({.max_tokens = 16});
    chat.say(budget_note).text();
    CHECK(e.cache_bytes() > 0);
  }
  CHECK(e.cache_bytes() == 0);
}

TEST_CASE("leaving an answer early cancels it and keeps what was said") {
  sparse_engine e(demo::folder());
  auto chat = e.open({.max_tokens = 96});
  std::string heard;
  for (auto const& piece : chat.say(budget_note)) {
    heard += piece;
    if (heard.size() > 8) { break; }
  }
  CHECK(chat.reports()[0].finish == finish_reason::cancelled);
  CHECK(chat.messages().back().content == heard);
  CHECK(chat.say(code_note).text().find("956") != std::string::npos);
}

TEST_CASE("what cannot be answered is refused and nothing has changed") {
  engine_options<config> o;
  o.context_tokens = 128;
  sparse_engine e(demo::folder(), o);
  auto chat = e.open({.max_tokens = 32});
  std::string longest;
  for (int i = 0; i < 40; ++i) { longest += budget_note; }
  CHECK_THROWS_AS((void)chat.say(longest), capacity_error);
  CHECK(chat.messages().empty());
  CHECK(chat.say(budget_note).text() == "The amber bear budget is 431.");
  auto plain = e.open({.max_tokens = 8, .raw = true});
  CHECK_THROWS_WITH_AS((void)plain.say(""), "the input gives no token, so there is nothing to answer", error);
}

TEST_CASE("at the context's end an answer stops and says so") {
  auto o = demo::sparse_options<config>();
  o.context_tokens = 48;
  sparse_engine e(demo::folder(), o);
  auto chat = e.open({.max_tokens = 96});
  auto const& report = chat.say(budget_note).report();
  CHECK(report.finish == finish_reason::context_full);
  CHECK(report.tokens_in + report.tokens_out == 48);
}

TEST_CASE("where the oldest turns may go, the report counts them") {
  auto o = demo::sparse_options<config>();
  o.context_tokens = 220;
  o.overflow = overflow_policy::drop_oldest_turns;
  sparse_engine e(demo::folder(), o);
  auto chat = e.open({.max_tokens = 48});
  for (int i = 0; i < 4; ++i) { chat.say(budget_note).text(); }
  auto const& last = chat.reports().back();
  CHECK(last.dropped_turns > 0);
  CHECK(last.recomputed > 0);
  auto const why = last.dropped_turns == 1 ? std::string("the oldest turn was left out") : "the " + std::to_string(last.dropped_turns) + " oldest turns were left out";
  CHECK(last.recomputed_why == why + " because the context was full");
}

TEST_CASE("a stop string ends the answer before it, and the next turn goes on") {
  sparse_engine e(demo::folder());
  auto chat = e.open({.max_tokens = 96, .stop = {" is 4"}});
  auto first = chat.say(budget_note);
  CHECK(first.text() == "The amber bear budget");
  CHECK(first.report().finish == finish_reason::stop_string);
  CHECK(chat.say(code_note).text().find("golden prairie code") != std::string::npos);
}

TEST_CASE("the type of keys and values is the configuration's, or the options' where the storage lets them choose") {
  CHECK_THROWS_WITH_AS(sparse_engine(demo::folder(), {.kv_type = element_type::bf16}),
                       "kv_type: expected f16, the element type of the configuration's storage, found bf16; with `using storage = any_storage<backend>;` the "
                       "options choose it",
                       error);
  struct choosing : demo::dense<cpu> {
    using storage = any_storage<backend>;
  };
  auto const bytes = [](std::optional<element_type> type) { return engine<choosing>(demo::folder(), {.kv_type = type}).plan(100).cache_bytes; };
  CHECK(bytes({}) == sparse_engine(demo::folder()).plan(100).cache_bytes);
  CHECK(bytes(element_type::f32) == 2 * bytes({}));
}

TEST_CASE("text mode goes on where the text stopped, without a template") {
  engine<demo::dense<reference>> e(demo::folder());
  std::string const text = "<s> The amber bear budget is 431. The amber bear";
  auto whole = e.open({.max_tokens = 8, .raw = true});
  auto const expected = whole.say(text).text();
  auto parts = e.open({.max_tokens = 8, .raw = true});
  auto const first = parts.say("The golden prairie code is 956.").report();
  auto const second = parts.say(" What is it?").report();
  CHECK(second.tokens_in > first.tokens_in + first.tokens_out);
  CHECK(second.reused == first.tokens_in + first.tokens_out - 1);
  CHECK_FALSE(expected.empty());
}

TEST_CASE("in text mode a conversation goes back to all that was said, the last token of an answer too, and so does a fork") {
  engine<demo::dense<reference>> e(demo::folder());
  auto chat = e.open({.max_tokens = 6, .raw = true});
  chat.say("The golden prairie code is 956. We met today").text();
  auto const once = chat.say(" and talked. What is").report();
  std::vector<token_id> const said(chat.last_answer().begin(), chat.last_answer().end());
  auto forked = chat.fork();
  for (auto* back : {&chat, &forked}) {
    back->rewind(1);
    auto const again = back->say(" and talked. What is").report();
    CHECK(again.tokens_in == once.tokens_in);
    CHECK(again.reused == once.reused);
    CHECK(std::vector<token_id>(back->last_answer().begin(), back->last_answer().end()) == said);
    back->rewind(0);
    CHECK(back->say(" and talked. What is").report().tokens_in < once.tokens_in);
  }
}

TEST_CASE("a conversation goes back behind a turn that left out the oldest ones") {
  auto o = demo::sparse_options<config>();
  o.context_tokens = 160;
  o.overflow = overflow_policy::drop_oldest_turns;
  sparse_engine e(demo::folder(), o);
  auto chat = e.open({.max_tokens = 48});
  auto const once = chat.say(budget_note + " " + budget_note).report();
  CHECK(chat.say(budget_note).report().dropped_turns == 1);
  chat.rewind(1);
  chat.say("Hi.").text();
  chat.rewind(0);
  CHECK(chat.say(budget_note + " " + budget_note).report().tokens_in == once.tokens_in);
}
