// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "text_vectors.hpp"

using namespace loopserve;
using namespace text_test;

namespace {

void check_vectors(tokenizer const& t, char const* name) {
  auto const cases = vectors(name);
  REQUIRE(cases.size() == 47);
  for (auto const& c : cases) {
    INFO("text: ", c.text);
    CHECK(joined(t.encode(c.text)) == c.ids);
  }
}

}  // namespace

TEST_CASE("llama.cpp's vectors: qwen2 from tokenizer.json and from vocab.json + merges.txt, llama-bpe") {
  if (!have_material()) { return; }
  auto const qwen = tokenizer::from_folder(material("tokenizers/qwen2.5"));
  check_vectors(qwen, "ggml-vocab-qwen2.gguf");
  auto const pair = tokenizer(detail::vocab_files_reader(material("tokenizers/qwen2.5")).read());
  check_vectors(pair, "ggml-vocab-qwen2.gguf");
  auto const llama = tokenizer::from_folder(material("tokenizers/llama3"));
  check_vectors(llama, "ggml-vocab-llama-bpe.gguf");
  CHECK(joined(llama.initial_tokens()) == "128000");
  CHECK(qwen.initial_tokens().empty());
  CHECK(qwen.size() == 151665);
  CHECK(pair.size() == 151665);
}
