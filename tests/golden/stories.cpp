// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "golden/dense_run.hpp"

TEST_CASE("the story models agree with a float64 reference, from safetensors and from GGUF") {
  std::string const models = std::string(LOOPSERVE_MATERIAL) + "/models";
  if (!std::filesystem::exists(models)) {
    MESSAGE("skipped: no material");
    return;
  }
  for (std::string const name : {"stories260K", "tiny1m"}) {
    auto const folder = models + "/" + name;
    auto const want = golden::read_json(folder + "/golden_float64.json");
    for (auto const& path : {folder, folder + "/model-f32.gguf"}) {
      for (auto const& one : want["cases"]) {
        CAPTURE(path);
        auto const prompt = one["prompt_ids"].get<std::vector<int>>();
        auto const sequence = one["greedy_ids"].get<std::vector<int>>();
        auto const answer = static_cast<int>(sequence.size() - prompt.size());
        golden::dense_run stepped(path);
        auto generated = stepped.greedy(stepped.feed(prompt), answer);
        generated.insert(generated.begin(), prompt.begin(), prompt.end());
        CHECK(generated == sequence);

        golden::dense_run whole(path);
        auto const logits = whole.feed(sequence);
        auto const logprobs = whole.logprobs(logits, sequence);
        auto const nll = -std::accumulate(logprobs.begin(), logprobs.end(), 0.0) / static_cast<double>(logprobs.size());
        CHECK(std::fabs(nll - one["mean_nll_of_sequence"].get<double>()) <= 2e-4);
        CHECK(golden::largest_difference(whole.last_row(logits), one["logits_last_position"].get<std::vector<double>>()) <= 2e-4);
      }
    }
  }
}
