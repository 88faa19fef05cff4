// SPDX-License-Identifier: Apache-2.0
/// What a device says of a text, token by token, against the reference backend: biases, norms of queries and keys, windows, scaled rotations, tied heads.
#include "engine_on_device.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// The largest logit's lead over the next one, of every row of logits that the reference has computed.
struct leading_decoder : decoder<reference> {
  using decoder<reference>::decoder;
  void logits(tensor_view<float const, 2> x, tensor_view<float, 2> out) {
    decoder<reference>::logits(x, out);
    for (index_t r = 0; r < out.extent(0); ++r) {
      std::vector<float> row(&out(r, 0), &out(r, 0) + out.extent(1));
      std::partial_sort(row.begin(), row.begin() + 2, row.end(), std::greater<>());
      leads().push_back(row[0] - row[1]);
    }
  }
  static std::vector<float>& leads() {
    static std::vector<float> all;
    return all;
  }
};
struct leading : dense<reference> {
  using model = leading_decoder;
};

template <class Config>
struct scored {
  score_result result;

  scored(std::shared_ptr<model_files const> const& files, std::vector<token_id> const& ids) {
    engine_options<Config> o;
    o.chunk_tokens = 20;
    auto const settled = settle_options(o, files->shape(), files->weight_bytes());
    typename Config::backend b;
    typename Config::model network(b, load_weights(*files));
    result = scorer<Config>(b, network, settled).run(ids);
  }
};

struct counts {
  int tokens = 0, close = 0;
};

/// Log-probabilities within `bound`, and the same most likely token at the end.
void same_scores(std::string const& path, std::string const& text, double bound, counts& seen) {
  CAPTURE(path);
  auto const files = model_files::open(path);
  auto ids = load_text(*files, {}).words.encode(text);
  ids.resize(std::min<std::size_t>(ids.size(), 40));
  leading_decoder::leads().clear();
  scored<leading> const want(files, ids);
  scored<dense<device>> const got(files, ids);
  REQUIRE(got.result.logprobs.size() == want.result.logprobs.size());
  double worst_of_all = 0;
  for (std::size_t i = 0; i < ids.size() - 1; ++i) {
    double const e = std::fabs(got.result.logprobs[i] - want.result.logprobs[i]);
    if (!(e <= worst_of_all)) { worst_of_all = e; }
  }
  MESSAGE(path << ": " << ids.size() << " tokens, log-probabilities differ by at most " << worst_of_all);
  CHECK(worst_of_all <= bound);
  auto const best = [](std::vector<float> const& row) { return std::max_element(row.begin(), row.end()) - row.begin(); };
  if (leading_decoder::leads().back() > 0.05F) { CHECK(best(got.result.last_logits) == best(want.result.last_logits)); }
  for (float const lead : leading_decoder::leads()) {
    ++seen.tokens;
    seen.close += lead <= 0.05F ? 1 : 0;
  }
}

}  // namespace

TEST_CASE("texts are as likely as on the reference") {
  counts seen;
  same_scores(demo_model, "The amber bear budget is 431. We met today and talked for a while. What is the amber bear budget?", 0.1, seen);
  same_scores(demo_model + "/model-bf16.gguf", "The amber bear budget is 431. What is the amber bear budget?", 0.1, seen);
  if (!std::filesystem::exists(material)) {
    MESSAGE("the rest skipped: no material");
    return;
  }
  std::string const story = "One day, a cat named Tom went to the park with his mom. They saw a big box with a big box.";
  for (auto const* name : {"stories260K", "stories260K/model-f32.gguf", "tiny1m", "families/qwen2", "families/qwen3", "families/llama3-scaled", "families/mistral-window"}) {
    same_scores(material + name, story, 0.1, seen);
  }
  MESSAGE(seen.tokens << " positions, " << seen.close << " with a lead of at most 0.05");
}

TEST_CASE("stories260K tells the same story, token by token") {
  auto const stories = material + "stories260K";
  if (!std::filesystem::exists(stories)) {
    MESSAGE("skipped: no material");
    return;
  }
  auto const told = [&]<class Config>() {
    engine<Config> e(stories, {.chunk_tokens = 16});
    auto chat = e.open({.max_tokens = 32, .raw = true});
    chat.say("One day, a cat named Tom").text();
    return std::vector<token_id>(chat.last_answer().begin(), chat.last_answer().end());
  };
  auto const got = told.template operator()<dense<device>>(), want = told.template operator()<dense<reference>>();
  CHECK(got.size() == want.size());
  auto const same = std::mismatch(got.begin(), got.end(), want.begin(), want.end()).first - got.begin();
  MESSAGE("the first " << same << " of " << want.size() << " tokens are the same");
  CHECK(got == want);
}

TEST_CASE("an engine says what it has converted, and plans with what its weights take") {
  engine<dense<device>> e(demo_model);
  CHECK(e.loaded().text().empty());
  CHECK(e.plan(100).weights_bytes >= e.loaded().bytes);
  auto const stories = material + "stories260K";
  if (!std::filesystem::exists(stories)) {
    MESSAGE("skipped: no material");
    return;
  }
  engine<dense<device>> f(stories);
  CHECK(f.loaded().text().find(" matrices in f32, ") != std::string::npos);
  CHECK(f.plan(100).weights_bytes < engine<dense<reference>>(stories).plan(100).weights_bytes);
}
