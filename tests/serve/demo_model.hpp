// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <loopserve/loopserve.hpp>

/// The demo model, and its dialogues, for tests of the engine.
namespace demo {

using namespace loopserve;

inline std::string folder() { return std::string(LOOPSERVE_SOURCE_DIR) + "/assets/demo-model"; }

struct said {
  std::string user;
  std::string dense;  ///< the greedy answer when nothing is skipped
};

/// The `n`-th dialogue of the file: 54 in all, 18 each of about 1,000, 2,000 and 4,000 tokens.
inline std::vector<said> dialogue(int n) {
  std::ifstream file(folder() + "/dialogues.jsonl");
  std::string line;
  for (int i = 0; i <= n; ++i) { std::getline(file, line); }
  std::vector<said> turns;
  auto const json = nlohmann::json::parse(line);
  for (auto const& turn : json.at("turns")) { turns.push_back({turn.at("user"), turn.at("dense")}); }
  return turns;
}

/// Both phases with nothing left to chance: no dense fallback, small chunks, a tenth of the context.
template <class Config>
engine_options<Config> sparse_options() {
  engine_options<Config> o;
  o.selector.fall_back = false;
  o.compressor.budget = kv_budget::of_context(0.1);
  o.chunk_tokens = 256;
  return o;
}

template <class Backend>
struct dense : defaults<Backend> {
  using selector = dense_prefill<Backend>;
  using compressor = keep_all<Backend>;
};

/// Says every turn of a dialogue; the answers.
template <class Config>
std::vector<std::string> play(engine<Config>& e, std::vector<said> const& turns) {
  auto chat = e.open({.max_tokens = 96});
  std::vector<std::string> answers;
  for (auto const& t : turns) { answers.push_back(chat.say(t.user).text()); }
  return answers;
}

}  // namespace demo
