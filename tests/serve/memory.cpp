// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "serve/counting_backend.hpp"
#include "serve/demo_model.hpp"

using namespace loopserve;

namespace {

/// Every selector, policy and KV type that has a name, with counted buffers.
struct config : defaults<counted::backend> {
  using storage = any_storage<backend>;
  using selector = any_selector<backend>;
  using compressor = any_compressor<backend>;
};
using options = engine_options<config>;

/// Bytes that one answered turn was seen to hold.
struct held {
  int input_tokens = 0;
  index_t cache = 0, compressor = 0, working_set = 0, scratch = 0;
  index_t peak = 0;  ///< of all of them together
};

/// One answer to `text`. Parts are told apart by when their buffers come and go: gathered rows live as long as the turn, what the policy keeps as long as
/// the conversation, scratch as long as the engine.
held one_answer(engine<config>& e, std::string const& text, int max_tokens) {
  auto& book = counted::book();
  book.peak_bytes = book.live_bytes.load();
  held h;
  auto const live_without_cache = [&] { return book.live_bytes - e.cache_bytes(); };
  index_t during = 0, after = 0;
  {
    auto chat = e.open({.max_tokens = max_tokens, .raw = true});
    auto said = chat.say(text);
    for (auto const& piece : said) {
      CHECK_FALSE(piece.empty());
      h.cache = std::max(h.cache, e.cache_bytes());
      during = std::max(during, live_without_cache());
    }
    h.input_tokens = chat.reports()[0].tokens_in;
    CHECK(chat.reports()[0].tokens_out > 2);
    after = live_without_cache();
  }
  h.peak = book.peak_bytes;
  CHECK(e.cache_bytes() == 0);
  h.scratch = book.live_bytes + index_t{decode_rows} * e.shape().vocabulary * 4;  // logits lie in the host's memory
  h.peak += h.scratch - book.live_bytes;
  h.compressor = after - book.live_bytes;
  h.working_set = during - after;
  return h;
}

struct policy {
  std::string selector, compressor;
  bool beside = false;
};

options options_of(policy const& p, int threads, std::optional<element_type> kv, int chunk) {
  options o;
  o.selector.name = p.selector;
  o.selector.online_vertical_slash.fall_back = false;
  o.compressor.name = p.compressor;
  o.compressor.budget = kv_budget::of_context(0.1);
  o.compressor.interval = 2;
  o.compressor.beside = p.beside;
  o.threads = threads;
  o.kv_type = kv;
  o.chunk_tokens = chunk;
  return o;
}

std::string meeting_talk(int turns) {
  std::string text;
  for (auto const& turn : demo::dialogue(20)) {
    if (turns-- > 0) { text += turn.user + ' '; }
  }
  return text;
}

/// The host's own memory that a selection holds while it runs: a cover for each thread that works on a head.
index_t covers(options const& o, model_shape const& shape, int keys) {
  return o.selector.name == "online_vertical_slash" ? std::min(o.threads, shape.heads) * detail::cover_bytes(keys) : 0;
}

void planned_is_held(std::string const& path, options const& o, std::string const& text) {
  CAPTURE(path);
  CAPTURE(o.selector.name);
  CAPTURE(o.compressor.name);
  CAPTURE(o.threads);
  CAPTURE(o.chunk_tokens);
  index_t const before = counted::book().live_bytes;
  {
    engine<config> e(path, o);
    int const max_tokens = 8;
    auto const h = one_answer(e, text, max_tokens);
    CAPTURE(h.input_tokens);
    // Policies and selectors see the input; the cache holds the answer too.
    auto const plan = e.plan(h.input_tokens);
    CHECK(e.plan(h.input_tokens + max_tokens).cache_bytes == h.cache);
    CHECK(plan.compressor_bytes == h.compressor);
    CHECK(plan.working_set_bytes == h.working_set);
    CHECK((h.compressor > 0) ==
          (o.compressor.name.find("progressive") != std::string::npos || o.compressor.name.find("recall") != std::string::npos));
    CHECK((h.working_set > 0) == (o.compressor.name != "keep_all"));
    bool const one_chunk = h.input_tokens <= o.chunk_tokens;
    index_t const tail = one_chunk ? 0 : index_t{e.shape().layers} * tail_rows * e.shape().heads * e.shape().head_dim * 4;
    CHECK(plan.scratch_bytes == h.scratch + tail + covers(o, e.shape(), h.input_tokens));
    auto const whole = e.plan(h.input_tokens + max_tokens);
    CHECK(whole.total_bytes() - whole.weights_bytes >= h.peak);
  }
  CHECK(counted::book().live_bytes == before);
}

}  // namespace

TEST_CASE("what is planned is what is held: every policy, type of keys and values, number of threads, one chunk or several") {
  for (policy const& p : {policy{"dense", "keep_all"},
                          {"a_shape", "sink_window"},
                          {"online_vertical_slash", "progressive"},
                          {"online_vertical_slash", "with_recall:progressive"},
                          {"online_vertical_slash", "with_recall:progressive", true},
                          {"online_vertical_slash", "with_recall:sink_window"}}) {
    planned_is_held(demo::folder(), options_of(p, 1, {}, 2048), meeting_talk(1));
    planned_is_held(demo::folder(), options_of(p, 2, element_type::f32, 2048), meeting_talk(2));
    planned_is_held(demo::folder() + "/model-bf16.gguf", options_of(p, 3, element_type::f16, 256), meeting_talk(2));
  }
}

TEST_CASE("what is planned is what is held for models of other shapes") {
  std::string const models = std::string(LOOPSERVE_MATERIAL) + "/models";
  if (!std::filesystem::exists(models)) {
    MESSAGE("skipped: no material");
    return;
  }
  for (auto const* name : {"stories260K", "tiny1m", "families/qwen2", "families/qwen3", "families/llama3-scaled"}) {
    for (policy const& p : {policy{"dense", "keep_all"}, {"online_vertical_slash", "with_recall:progressive"}}) {
      planned_is_held(models + '/' + name, options_of(p, 2, {}, 2048),
                      "One day, a cat named Tom went to the park with his mom. They saw a big box with a big box.");
    }
  }
}

namespace {

/// Bytes of the tensors in a safetensors file.
index_t tensor_bytes(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t size = 0;
  file.read(reinterpret_cast<char*>(&size), sizeof size);
  std::string header(size, ' ');
  file.read(header.data(), static_cast<std::streamsize>(size));
  index_t sum = 0;
  auto const tensors = nlohmann::json::parse(header);
  for (auto const& [name, tensor] : tensors.items()) {
    if (name == "__metadata__") { continue; }
    sum += tensor["data_offsets"][1].get<index_t>() - tensor["data_offsets"][0].get<index_t>();
  }
  return sum;
}

}  // namespace

TEST_CASE("weights take what they take in their files") {
  options const o = options_of({"dense", "keep_all"}, 1, {}, 64);
  CHECK(engine<config>(demo::folder(), o).plan(64).weights_bytes == tensor_bytes(demo::folder() + "/model.safetensors"));
  std::string const shards = std::string(LOOPSERVE_MATERIAL) + "/models/families/llama3-scaled";
  if (!std::filesystem::exists(shards)) {
    MESSAGE("skipped: no material");
    return;
  }
  index_t sum = 0;
  for (auto const& entry : std::filesystem::directory_iterator(shards)) {
    if (entry.path().extension() == ".safetensors") { sum += tensor_bytes(entry.path().string()); }
  }
  CHECK(engine<config>(shards, o).plan(64).weights_bytes == sum);
}

TEST_CASE("a memory limit gives the longest context that fits, and what exceeds it is refused before any work") {
  auto o = options_of({"online_vertical_slash", "with_recall:progressive"}, 2, {}, 128);
  auto& book = counted::book();
  std::string const text = meeting_talk(1);
  index_t limit = 0;
  int wanted = 0;
  {
    engine<config> e(demo::folder(), o);
    wanted = static_cast<int>(e.text().encode(text).size()) + 40;
    limit = e.plan(wanted).total_bytes();
  }
  o.memory_bytes = limit;
  engine<config> e(demo::folder(), o);
  int const longest = e.context_limit();
  CHECK(longest >= wanted);
  CHECK(e.plan().longest_context == longest);
  CHECK(e.plan(longest).total_bytes() <= limit);
  CHECK(e.plan(longest + 1).total_bytes() > limit);

  auto const h = one_answer(e, text, 40);  // may fill the context
  CHECK(h.peak + e.plan(1).weights_bytes <= limit);

  auto chat = e.open({.max_tokens = 8, .raw = true});
  book.peak_bytes = book.live_bytes.load();
  CHECK_THROWS_AS((void)chat.say(text + text), capacity_error);
  CHECK(book.peak_bytes == book.live_bytes);
  CHECK(e.cache_bytes() == 0);

  o.memory_bytes = e.plan(1).weights_bytes + 1000;
  book.peak_bytes = book.live_bytes.load();
  CHECK_THROWS_AS(engine<config>(demo::folder(), o), capacity_error);
  CHECK(book.peak_bytes == book.live_bytes);
}

TEST_CASE("conversations that do not fit beside each other: the later one is refused, the earlier one goes on") {
  auto o = options_of({"dense", "keep_all"}, 2, {}, 128);
  std::string const text = meeting_talk(1);
  {
    engine<config> e(demo::folder(), o);
    o.memory_bytes = e.plan(static_cast<int>(e.text().encode(text).size()) + 200).total_bytes();
  }
  engine<config> e(demo::folder(), o);
  auto first = e.open({.max_tokens = 8, .raw = true});
  auto second = e.open({.max_tokens = 8, .raw = true});
  first.say(text).text();
  index_t const held = counted::book().live_bytes;
  CHECK_THROWS_AS((void)second.say(text), capacity_error);
  CHECK(counted::book().live_bytes == held);
  CHECK(held + e.plan(1).weights_bytes <= o.memory_bytes);
  CHECK_FALSE(first.say("Tell me more. ").text().empty());
}
