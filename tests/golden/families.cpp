// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "golden/dense_run.hpp"

namespace {

/// Every log-probability, the last logits and 16 greedy ids of a folder's golden.json, whole and in ragged chunks.
void compare(std::string const& path, nlohmann::json const& want, bool in_chunks) {
  CAPTURE(path);
  auto const ids = want["ids"].get<std::vector<int>>();
  golden::dense_run run(path);
  std::vector<float> logits;
  for (std::size_t first = 0; first < ids.size();) {
    auto const count = std::min(ids.size() - first, in_chunks ? first % 7 + 1 : ids.size());
    std::vector<int> const part(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.begin() + static_cast<std::ptrdiff_t>(first + count));
    auto const rows = run.feed(part);
    logits.insert(logits.end(), rows.begin(), rows.end());
    first += count;
  }
  auto const logprobs = golden::largest_difference(run.logprobs(logits, ids), want["logprobs"].get<std::vector<double>>());
  auto const last = golden::largest_difference(run.last_row(logits), want["last_logits"].get<std::vector<double>>());
  MESSAGE(path << ": log-probabilities within " << logprobs << ", last logits within " << last);
  CHECK(logprobs <= 2e-4);
  CHECK(last <= 2e-4);
  if (want.contains("greedy")) {
    auto const greedy = want["greedy"].get<std::vector<int>>();
    CHECK(run.greedy(logits, static_cast<int>(greedy.size())) == greedy);
  }
}

}  // namespace

TEST_CASE("the four families agree with transformers") {
  std::string const folder = std::string(LOOPSERVE_MATERIAL) + "/models/families";
  if (!std::filesystem::exists(folder)) {
    MESSAGE("skipped: no material");
    return;
  }
  for (char const* family : {"llama3-scaled", "qwen2", "qwen3", "mistral-window"}) {
    auto const path = folder + "/" + family;
    compare(path, golden::read_json(path + "/golden.json"), false);
    compare(path, golden::read_json(path + "/golden.json"), true);
  }
}

TEST_CASE("further shapes agree with the independent reference") {
  std::string const folder = std::string(LOOPSERVE_SOURCE_DIR) + "/tests/data/shapes";
  int count = 0;
  for (auto const& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.is_directory()) { continue; }
    compare(entry.path().string(), golden::read_json(entry.path().string() + "/golden.json"), false);
    ++count;
  }
  CHECK(count >= 9);
}

TEST_CASE("the demo model agrees with transformers, from both of its formats") {
  std::string const folder = std::string(LOOPSERVE_SOURCE_DIR) + "/assets/demo-model";
  auto const want = golden::read_json(folder + "/golden.json");
  compare(folder, want, false);
  compare(folder + "/model-bf16.gguf", want, false);
}
