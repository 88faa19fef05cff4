// SPDX-License-Identifier: Apache-2.0
/// Conversations on a device: the same answers as on the reference backend, whatever the policy, and whatever else goes on in the engine.
#include "engine_on_device.hpp"

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

std::string const budget_note = "The amber bear budget is 431. What is the amber bear budget?";
std::string const code_note = "The golden prairie code is 956. Tell me the amber bear budget.";

template <class Backend>
struct reselecting : dense<Backend> {
  using compressor = progressive<Backend>;
};
/// The engine as it is where nothing is named.
template <class Backend>
struct whole : defaults<Backend> {};

/// The demo model with values in one KV head that f16 does not hold.
struct loud_decoder : decoder<device> {
  loud_decoder(device& b, decoder_weights w) : decoder<device>(b, louder(std::move(w))) {}
  static decoder_weights louder(decoder_weights w) {
    w.layers[2].v_bias.assign(static_cast<std::size_t>(w.shape.kv_heads * w.shape.head_dim), 0.0F);
    w.layers[2].v_bias.back() = -70000;
    return w;
  }
};
struct loud : dense<device> {
  using model = loud_decoder;
};
struct loud_in_bf16 : loud {
  using storage = paged<device, bf16>;
};

template <class Config>
engine_options<Config> options_of(int chunk_tokens = 16) {
  engine_options<Config> o;
  o.chunk_tokens = chunk_tokens;
  if constexpr (requires { o.selector.fall_back; }) {
    o.selector.fall_back = false;
    o.selector.local = 4;
    o.selector.sinks = 2;
    o.selector.rows = 8;  // each is long work for the emulator
    o.selector.last_rows = 4;
  }
  if constexpr (requires { o.compressor.budget; }) { o.compressor.budget = kv_budget{16}; }
  if constexpr (requires { o.compressor.interval; }) { o.compressor.interval = 3; }
  if constexpr (requires { o.compressor.core.interval; }) { o.compressor.core.interval = 3; }
  return o;
}

/// Answers of at most `max_tokens` tokens to each of `said`, and the turns' reports.
template <class Config>
struct played {
  std::vector<std::vector<token_id>> answers;
  std::vector<turn_report> reports;

  explicit played(std::vector<std::string> const& said, int max_tokens) {
    engine<Config> e(demo_model, options_of<Config>());
    auto chat = e.open({.max_tokens = max_tokens});
    for (auto const& s : said) {
      chat.say(s).text();
      answers.emplace_back(chat.last_answer().begin(), chat.last_answer().end());
    }
    reports.assign(chat.reports().begin(), chat.reports().end());
  }
};

/// Lines are chosen by scores that a device sums in another order, so plans may differ a little; where everything is attended they are equal.
template <template <class> class Config, class Backend>
void same_answers(std::vector<std::string> const& said, int max_tokens) {
  played<Config<Backend>> const got(said, max_tokens);
  played<Config<reference>> const want(said, max_tokens);
  CHECK(got.answers == want.answers);
  REQUIRE(got.reports.size() == want.reports.size());
  for (std::size_t i = 0; i < want.reports.size(); ++i) {
    auto const &a = got.reports[i], &b = want.reports[i];
    CHECK(a.tokens_in == b.tokens_in);
    CHECK(a.reused == b.reused);
    CHECK(a.finish == b.finish);
    CHECK(a.selections == b.selections);
    CHECK(a.kept_share_count == b.kept_share_count);
    CHECK(a.kv_kept() == doctest::Approx(b.kv_kept()));
    CHECK(a.total().causal_cells == b.total().causal_cells);
    bool const chosen = std::is_same_v<Config<Backend>, whole<Backend>>;
    CHECK(a.area() == doctest::Approx(b.area()).epsilon(chosen ? 0.15 : 1e-12));
    CHECK(a.total().covered == doctest::Approx(b.total().covered).epsilon(chosen ? 0.02 : 1e-6));
    CHECK((a.area() < 1) == chosen);
  }
}

}  // namespace

TEST_CASE("greedy answers are the reference's: nothing skipped, chosen again, recalled, and all of it at once over chosen lines") {
  same_answers<dense, device>({budget_note, code_note}, 12);
  same_answers<reselecting, device>({budget_note, code_note}, 8);
  same_answers<whole, device>({budget_note, code_note}, 8);
  same_answers<whole, adverse_device>({budget_note}, 3);
}

TEST_CASE("rewound, forked, cancelled: what comes after is what would have come") {
  using config = whole<device>;
  engine<config> e(demo_model, options_of<config>(32));
  auto chat = e.open({.max_tokens = 5});
  auto const first = chat.say(budget_note).text();
  auto const second = chat.say(code_note).text();
  CHECK_FALSE(first.empty());
  chat.rewind(1);
  auto other = chat.fork();
  {
    auto cut_short = chat.say(code_note);
    for (auto const& piece : cut_short) {
      CHECK_FALSE(piece.empty());
      break;
    }
  }
  CHECK(chat.reports().back().finish == finish_reason::cancelled);
  chat.rewind(1);
  CHECK(chat.say(code_note).text() == second);
  CHECK(other.say(code_note).text() == second);
}

TEST_CASE("conversations that are answered together get what each gets alone") {
  using config = whole<device>;
  std::vector<std::string> const said = {budget_note, code_note, "The silver fox code is 12. What is the silver fox code?"};
  std::vector<std::string> alone, together;
  for (auto const& s : said) {
    engine<config> e(demo_model, options_of<config>(32));
    auto chat = e.open({.max_tokens = 5});
    alone.push_back(chat.say(s).text());
  }
  engine<config> e(demo_model, options_of<config>(32));
  std::vector<conversation<config>> chats;
  std::vector<answer<config>> answers;
  chats.reserve(said.size());
  answers.reserve(said.size());
  for (auto const& s : said) {
    chats.push_back(e.open({.max_tokens = 5}));
    answers.push_back(chats.back().say(s));
  }
  for (auto& a : answers) { together.push_back(a.text()); }
  CHECK(together == alone);
}

TEST_CASE("answers that are drawn, and greedy ones beside them") {
  using config = dense<device>;
  engine<config> e(demo_model, options_of<config>());
  auto const say = [&](sampling_options const& s) { return e.open({.max_tokens = 5, .sampling = s}).say(budget_note).text(); };
  auto const greedy = say({});
  CHECK(say({.temperature = 1, .top_k = 1}) == greedy);
  CHECK(say({.temperature = 1e-4F, .seed = 3}) == greedy);
  auto const drawn = say({.temperature = 5, .seed = 3});
  CHECK(drawn != greedy);
  CHECK(say({.temperature = 5, .seed = 3}) == drawn);

  auto one = e.open({.max_tokens = 5}), two = e.open({.max_tokens = 5, .sampling = {.temperature = 5, .seed = 3}});
  auto first = one.say(budget_note), second = two.say(budget_note);
  CHECK(first.text() == greedy);
  CHECK(second.text() == drawn);
}

TEST_CASE("values that f16 does not hold are told, and bf16 holds them") {
  engine<loud> e(demo_model, options_of<loud>());
  auto chat = e.open({.max_tokens = 3});
  CHECK_THROWS_WITH_AS(chat.say(budget_note).text(),
                       "a key or value of KV head 1 is beyond the 65504 that f16 holds; store keys and values in bf16 or f32 "
                       "(any_storage with kv_type, --kv-type of the programs)",
                       error);
  CHECK(chat.messages().empty());
  CHECK(chat.reports().back().finish == finish_reason::failed);
  engine<loud_in_bf16> wide(demo_model, options_of<loud_in_bf16>());
  CHECK(wide.open({.max_tokens = 3}).say(budget_note).report().tokens_out == 3);
}

TEST_CASE("steps of an answer are replayed, and only what must differ from the last one is changed") {
  using config = dense<device>;
  engine<config> e(demo_model, options_of<config>());
  auto chat = e.open({.max_tokens = 8});
  CHECK(chat.say(budget_note).report().tokens_out == 8);
  auto const c = e.replayed();
  CHECK(c.steps == 7);
  CHECK(c.replayed == 6);
  CHECK(c.launches == 6 * c.graphs);
  CHECK(c.patched <= 6 * 2 * e.shape().layers);  // where a layer's key and value go
}

#if !LOOPSERVE_CUDA_COMPILER
TEST_CASE("later steps of an answer hold no more of the device's memory than the first ones, and a conversation gives all back") {
  using config = whole<device>;
  engine<config> e(demo_model, options_of<config>(32));
  auto& memory = simt::device_memory::instance();
  index_t held_after_first = 0;
  for (int round = 0; round < 2; ++round) {
    {
      auto chat = e.open({.max_tokens = 11});
      int pieces = 0;
      index_t most = 0;  // in the first steps: the first choice, and one by observed queries
      auto said = chat.say(budget_note);
      for (auto const& piece : said) {
        CHECK_FALSE(piece.empty());
        if (++pieces == 1) { memory.forget_peak(); }
        if (pieces == 6) {
          most = memory.peak();
          memory.forget_peak();
        }
      }
      CHECK(pieces > 8);
      CHECK(memory.peak() <= most);
      CHECK(chat.reports()[0].working_set_bytes > 0);
    }
    if (round == 0) { held_after_first = memory.held(); }
    CHECK(memory.held() == held_after_first);
  }
}
#endif
