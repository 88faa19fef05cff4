// SPDX-License-Identifier: Apache-2.0
/// KV policies on layers with a sliding window: qwen2-window has 3 layers, of which the last two reach 20 tokens back.
#include <doctest/doctest.h>

#include <exception>
#include <map>
#include <string>
#include <vector>

#include <loopserve/kv/keep_all.hpp>
#include <loopserve/kv/progressive.hpp>
#include <loopserve/kv/sink_window.hpp>
#include <loopserve/model/load_weights.hpp>
#include <loopserve/prefill/dense_prefill.hpp>
#include <loopserve/serve/defaults.hpp>
#include <loopserve/serve/settle_options.hpp>
#include <loopserve/serve/token_engine.hpp>

using namespace loopserve;

namespace {

constexpr int window = 20, input = 50, answer = 40;

/// Keeps all of its context, but as a list of rows that are gathered, and notes how long the context of each layer was.
template <class Backend>
class lists_all {
 public:
  using backend_type = Backend;
  struct options {
    std::map<int, int>* contexts = nullptr;  ///< by layer
  };

  explicit lists_all(Backend&, options o = {}) : options_(o) {}

  template <class Element>
  void begin_turn(int layer, tensor_view<float const, 3>, kv_view<Element> kv) {
    if (options_.contexts != nullptr) { (*options_.contexts)[layer] = kv.length(); }
    due_[layer] = true;
  }
  void observe(int, tensor_view<float const, 2>) {}
  bool due(int layer) { return due_[layer]; }
  template <class Element>
  void choose(int layer, kv_view<Element> kv, kept_rows<Backend>& keep) {
    due_[layer] = false;
    auto const lists = keep.lists(kv.kv_heads, kv.length());
    for (int h = 0; h < kv.kv_heads; ++h) {
      for (int i = 0; i < kv.length(); ++i) { lists.rows[h * lists.stride + i] = i; }
      lists.counts[h] = kv.length();
    }
  }
  kv_budget budget() const { return {1 << 20}; }
  void truncate(int) {}
  lists_all fork() const { return *this; }

 private:
  options options_;
  std::map<int, bool> due_;
};

template <template <class> class Policy>
struct with_policy : defaults<reference> {
  using selector = dense_prefill<reference>;
  using compressor = Policy<reference>;
};

/// The greedy answer to the same tokens.
template <class Config>
std::vector<token_id> answered(typename Config::compressor::options policy) {
  auto const files = model_files::open(LOOPSERVE_SOURCE_DIR "/tests/data/shapes/qwen2-window");
  auto const& s = files->shape();
  engine_options<Config> o;
  o.compressor = policy;
  o = settle_options<Config>(o, s, files->weight_bytes());
  reference backend(1);
  token_engine<Config> engine(backend, typename Config::model(backend, load_weights(*files)), {s.layers, s.kv_heads, s.head_dim}, o, {});
  auto const talk = engine.open();
  std::vector<token_id> tokens;
  for (int i = 0; i < input; ++i) { tokens.push_back(token_id{(i * 37 + 11) % s.vocabulary}); }
  engine.start(*talk, tokens, {.max_tokens = answer});
  std::vector<token_id> said;
  while (engine.busy()) {
    for (auto const& event : engine.step()) {
      if (!event.finished) { said.push_back(event.token); }
    }
  }
  if (talk->failure) { std::rethrow_exception(talk->failure); }
  return said;
}

auto const dense = answered<with_policy<keep_all>>({});

}  // namespace

TEST_CASE("a policy sees the window only, and where it keeps all of it the answer is dense's, also after the window has moved on") {
  REQUIRE(dense.size() == answer);
  std::map<int, int> contexts;
  CHECK(answered<with_policy<lists_all>>({&contexts}) == dense);
  CHECK(contexts == std::map<int, int>{{0, input}, {1, window}, {2, window}});
}

TEST_CASE("a budget that covers the window is dense on layers that have one, one that does not is not") {
  // The first layer has no window: its budget covers the input.
  CHECK(answered<with_policy<progressive>>({.budget = input, .interval = 4}) == dense);
  CHECK(answered<with_policy<sink_window>>({.budget = input}) == dense);
  CHECK(answered<with_policy<sink_window>>({.budget = 2, .sinks = 1}) != dense);
}
