// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include <loopserve/model/gguf.hpp>
#include <loopserve/model/text/text_stream.hpp>
#include <loopserve/model/text/tokenizer_gguf.hpp>

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

TEST_CASE("llama.cpp's vectors: gpt-2 and llama-spm from GGUF metadata") {
  if (!have_material()) { return; }
  auto const gpt2 = tokenizer::from_gguf(gguf::open(material("tokenizers/vectors/ggml-vocab-gpt-2.gguf").string()));
  check_vectors(gpt2, "ggml-vocab-gpt-2.gguf");
  CHECK(gpt2.initial_tokens().empty());
  auto const spm = tokenizer::from_gguf(gguf::open(material("tokenizers/vectors/ggml-vocab-llama-spm.gguf").string()));
  check_vectors(spm, "ggml-vocab-llama-spm.gguf");
  CHECK(joined(spm.initial_tokens()) == "1");
}

TEST_CASE("a model's folder and its GGUF file have the same tokenizer") {
  auto const source = std::filesystem::path(LOOPSERVE_SOURCE_DIR) / "assets/demo-model";
  std::vector<std::filesystem::path> folders = {source};
  if (have_material()) {
    folders.push_back(material("models/stories260K"));
    folders.push_back(material("models/tiny1m"));
  }
  for (auto const& folder : folders) {
    auto const a = tokenizer::from_folder(folder);
    auto const b = tokenizer::from_gguf(gguf::open((folder / (folder == source ? "model-bf16.gguf" : "model-f32.gguf")).string()));
    CHECK(a.size() == b.size());
    CHECK(a.initial_tokens() == b.initial_tokens());
    std::string const text = "Once upon a time, there was a  girl\nnamed Lily's 12345 caf\xC3\xA9 \xF0\x9F\x98\x80 <s> <|im_start|>!";
    CHECK(joined(a.encode(text)) == joined(b.encode(text)));
    CHECK(a.decode(a.encode(text)) == text);
    CHECK(b.decode(b.encode(text)) == text);
    std::vector<text_piece> const pieces = {{"<s><|im_start|>user\n", true}, {"hi there", false}, {"</s><|im_end|>", true}};
    CHECK(joined(a.encode(pieces)) == joined(b.encode(pieces)));
  }
}

TEST_CASE("speed and long words") {
  if (!have_material()) { return; }
  auto const qwen = tokenizer::from_folder(material("tokenizers/qwen2.5"));
  auto const text = read(material("data/qmsum/val.jsonl"));
  auto const seconds = [&](std::string const& what) {
    auto const start = std::clock();  // of the processor: the machine may be busy
    auto const ids = qwen.encode(what);
    auto const time = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    CHECK(qwen.decode(ids) == what);
    return time;
  };
  seconds(text);
  auto const whole = seconds(text);
  std::printf("qwen2.5: %.1f MB/s on %.1f MB of English\n", static_cast<double>(text.size()) / 1e6 / whole, static_cast<double>(text.size()) / 1e6);
#ifdef NDEBUG
  CHECK(static_cast<double>(text.size()) / 1e6 / whole >= 5.0);
#endif
  for (auto const* c : {"a", " ", "\n", "1", "\xE4\xB8\xAD", "\xFF", "ab", "!"}) {
    std::string long_word;
    while (long_word.size() < 1000000) { long_word += c; }
    auto const time = seconds(long_word);
    std::printf("1 MB of '%s': %.3f s\n", c, time);
    CHECK(time < 5.0);
  }
  for (auto const* folder : {"tokenizers/llama3", "tokenizers/smollm2", "models/stories260K"}) {
    auto const t = tokenizer::from_folder(material(folder));
    for (auto const& part : {text, std::string(1000000, 'a')}) {
      auto const start = std::clock();  // of the processor: the machine may be busy
      auto const ids = t.encode(part);
      auto const time = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      CHECK(t.decode(ids) == part);
      std::printf("%s: %.1f MB/s\n", folder, static_cast<double>(part.size()) / 1e6 / time);
    }
  }
}
