// SPDX-License-Identifier: Apache-2.0
/// Drawn answers on a device: the reference's for the same seeds, in one batch with greedy ones, and no logits come back to the host.
#include "engine_on_device.hpp"

#include <atomic>
#include <string>
#include <vector>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

std::atomic<index_t> bytes_to_host{0};

/// Counts what operations bring to the host.
struct frugal : device {
  using device::device;
  void copy_to_host(void* to, void const* from, index_t bytes) const {
    bytes_to_host += bytes;
    device::copy_to_host(to, from, bytes);
  }
  void copy_to_pinned(void* to, void const* from, index_t bytes) const {
    bytes_to_host += bytes;
    device::copy_to_pinned(to, from, bytes);
  }
};
static_assert(device_backend<frugal>);

std::string const budget_note = "The amber bear budget is 431. What is the amber bear budget?";

std::vector<sampling_options> const settings = {
    {.temperature = 0.8F, .top_k = 40, .top_p = 0.95F, .seed = 3},
    {},
    {.temperature = 1, .seed = 9},
    {.temperature = 1, .min_p = 0.02F, .repetition_penalty = 1.2F, .presence_penalty = 0.2F, .frequency_penalty = 0.1F, .seed = 5},
    {.repetition_penalty = 1.5F},
    {.temperature = 1.5F, .top_p = 0.9F, .seed = 11}};
constexpr int answer_tokens = 8;

/// The answers to one input, each with settings of its own, generated together.
template <class Config>
std::vector<std::vector<token_id>> answered(engine<Config>& e) {
  std::vector<conversation<Config>> chats;
  std::vector<answer<Config>> answers;
  chats.reserve(settings.size());
  answers.reserve(settings.size());
  for (auto const& s : settings) {
    chats.push_back(e.open({.max_tokens = answer_tokens, .sampling = s}));
    answers.push_back(chats.back().say(budget_note));
  }
  for (auto& a : answers) { a.text(); }
  std::vector<std::vector<token_id>> said;
  for (auto const& chat : chats) { said.emplace_back(chat.last_answer().begin(), chat.last_answer().end()); }
  return said;
}

}  // namespace

TEST_CASE("answers drawn together, greedy ones among them, are the reference's") {
  engine<dense<frugal>> e(demo_model);
  engine<dense<reference>> want(demo_model);
  auto const got = answered(e), wanted = answered(want);
  for (std::size_t i = 0; i < settings.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == wanted[i]);
  }
  CHECK(got == answered(e));
  CHECK(got[3] != got[1]);
  CHECK(got[5] != got[1]);
}

TEST_CASE("of a step only the tokens and their largest logits come to the host") {
  engine<dense<frugal>> e(demo_model);
  auto const& shape = e.shape();
  for (auto const& s : settings) {
    bytes_to_host = 0;
    auto chat = e.open({.max_tokens = answer_tokens, .sampling = s});
    chat.say(budget_note).text();
    index_t const steps = chat.reports()[0].tokens_out + (chat.reports()[0].finish == finish_reason::stop_token ? 1 : 0);
    index_t const tallies = index_t{shape.layers} * shape.heads * index_t{sizeof(line_tally)} + index_t{sizeof(double)};
    CHECK(bytes_to_host == 16 * steps + tallies);
  }
}

TEST_CASE("a rewound answer is drawn again as it was, and penalties count what is said, not what was taken back") {
  engine<dense<frugal>> e(demo_model);
  for (std::size_t const i : {2U, 3U}) {
    auto chat = e.open({.max_tokens = answer_tokens, .sampling = settings[i]});
    auto const first = chat.say(budget_note).text();
    auto const second = chat.say("And now?").text();
    chat.rewind(1);
    CHECK(chat.say("And now?").text() == second);
    chat.rewind(0);
    CHECK(chat.say(budget_note).text() == first);
  }
}

TEST_CASE("stories260K tells the reference's story when it is drawn") {
  auto const stories = material + "stories260K";
  if (!std::filesystem::exists(stories)) {
    MESSAGE("skipped: no material");
    return;
  }
  sampling_options const drawn{.temperature = 0.9F, .top_k = 100, .top_p = 0.95F, .min_p = 0.01F, .repetition_penalty = 1.1F, .seed = 8};
  auto const told = [&]<class Config>() {
    engine<Config> e(stories);
    auto chat = e.open({.max_tokens = 24, .sampling = drawn, .raw = true});
    chat.say("One day, a cat named Tom").text();
    return std::vector<token_id>(chat.last_answer().begin(), chat.last_answer().end());
  };
  CHECK(told.template operator()<dense<frugal>>() == told.template operator()<dense<reference>>());
}

#if !LOOPSERVE_CUDA_COMPILER
TEST_CASE("later steps hold no more of the device's memory than the first ones, and a drawn answer gives all back") {
  engine<dense<frugal>> e(demo_model);
  auto& memory = simt::device_memory::instance();
  index_t held = 0;
  for (int round = 0; round < 2; ++round) {
    {
      auto chat = e.open({.max_tokens = answer_tokens, .sampling = settings[3]});
      int pieces = 0;
      index_t most = 0;
      auto said = chat.say(budget_note);
      for (auto const& piece : said) {
        CHECK_FALSE(piece.empty());
        if (++pieces == 1) { memory.forget_peak(); }
        if (pieces == 3) {
          most = memory.peak();
          memory.forget_peak();
        }
      }
      CHECK(pieces > 4);
      CHECK(memory.peak() <= most);
    }
    if (round == 0) { held = memory.held(); }
    CHECK(memory.held() == held);
  }
}
#endif
