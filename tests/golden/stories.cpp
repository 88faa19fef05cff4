// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

#include "golden/dense_run.hpp"

#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/model/text/text_stream.hpp>
#include <loopserve/model/text/tokenizer.hpp>
#include <loopserve/model/text/tokenizer_gguf.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>

namespace ls = loopserve;

namespace {

/// The text of `count` greedy tokens after the beginning-of-text token.
template <class Backend>
std::string told(std::string const& path, int count) {
  golden::basic_dense_run<Backend> run(path);
  auto const& files = run.files();
  auto const words = files.gguf() != nullptr ? ls::tokenizer::from_gguf(*files.gguf()) : ls::tokenizer::from_folder(files.folder());
  std::vector<int> start;
  for (auto id : words.initial_tokens()) { start.push_back(ls::raw(id)); }
  ls::text_stream stream(words);
  std::string text;
  for (int id : run.greedy(run.feed(start), count)) { text += stream.push(ls::token_id{id}); }
  return text + stream.flush();
}

}  // namespace

TEST_CASE("a story is told word for word as its model's own program tells it, from safetensors and from GGUF, on both backends") {
  std::string const folder = std::string(LOOPSERVE_MATERIAL) + "/models/stories260K";
  if (!std::filesystem::exists(folder)) {
    MESSAGE("skipped: no material");
    return;
  }
  std::ifstream file(folder + "/expected_stdout_karpathy_test_all.txt", std::ios::binary);
  std::string const want{std::istreambuf_iterator<char>(file), {}};
  for (auto const& path : {folder, folder + "/model-f32.gguf"}) {
    CAPTURE(path);
    CHECK(told<ls::reference>(path, 200) + "\n" == want);
    CHECK(told<ls::cpu>(path, 200) + "\n" == want);
  }
}

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
