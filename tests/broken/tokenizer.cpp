// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <loopserve/model/text/tokenizer.hpp>

using namespace loopserve;
using nlohmann::json;

namespace {

json good() {
  return json::parse(R"({"added_tokens":[{"id":3,"content":"<e>","special":true}],"normalizer":null,
    "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"post_processor":null,"decoder":{"type":"ByteLevel"},
    "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})");
}

/// The sentence of the refusal, empty where the file is taken.
std::string refusal(std::string const& text) {
  try {
    tokenizer::from_json(text, "some/tokenizer.json");
    return {};
  } catch (format_error const& e) { return e.what(); }
}

void refused(std::function<void(json&)> const& change, std::vector<std::string> const& parts) {
  auto file = good();
  change(file);
  auto const sentence = refusal(file.dump());
  INFO(sentence);
  CHECK(sentence.find("some/tokenizer.json") == 0);
  for (auto const& part : parts) {
    INFO(part);
    CHECK(sentence.find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("the file that is broken below is good") { CHECK(refusal(good().dump()).empty()); }

TEST_CASE("an unknown part is refused by name") {
  refused([](json& f) { f["model"]["type"] = "Unigram"; }, {"model", "'Unigram'", "BPE"});
  refused([](json& f) { f["normalizer"] = {{"type", "Precompiled"}}; }, {"normalizer", "'Precompiled'"});
  refused([](json& f) { f["normalizer"] = json::parse(R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"}]})"); },
          {"normalizer.normalizers[1]", "'Lowercase'"});
  refused([](json& f) { f["normalizer"] = json::parse(R"({"type":"Replace","pattern":{"Regex":"a"},"content":""})"); }, {"normalizer.pattern"});
  refused([](json& f) { f["pre_tokenizer"] = {{"type", "BertPreTokenizer"}}; }, {"pre_tokenizer", "'BertPreTokenizer'"});
  refused([](json& f) { f["pre_tokenizer"] = json::parse(R"({"type":"Split","pattern":{"Regex":"a"},"behavior":"Sideways"})"); }, {"pre_tokenizer.behavior", "'Sideways'"});
  refused([](json& f) { f["pre_tokenizer"] = json::parse(R"({"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated"})"); }, {"(a", "split pattern"});
  refused([](json& f) { f["post_processor"] = {{"type", "RobertaProcessing"}}; }, {"post_processor", "'RobertaProcessing'"});
  refused([](json& f) { f["decoder"] = {{"type", "WordPiece"}}; }, {"decoder", "'WordPiece'"});
  refused([](json& f) { f["decoder"] = nullptr; }, {"decoder"});
  refused([](json& f) { f["decoder"] = {{"type", "Fuse"}}; }, {"decoder", "ByteLevel"});
  refused([](json& f) { f["model"]["dropout"] = 0.1; }, {"model.dropout"});
  refused([](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }, {"model.end_of_word_suffix"});
  refused([](json& f) { f["model"]["unk_token"] = "nobody"; }, {"model.unk_token", "'nobody'"});
  refused(
      [](json& f) {
        f["post_processor"] = json::parse(R"({"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}},{"SpecialToken":{"id":"<e>"}}],
          "special_tokens":{"<e>":{"ids":[3]}}})");
      },
      {"post_processor.single[1]", "behind the text", "<e>"});
}

TEST_CASE("wrong types, ids and merges") {
  refused([](json& f) { f = json::array(); }, {"expected an object"});
  refused([](json& f) { f["model"] = 3; }, {"model", "expected an object, found 3"});
  refused([](json& f) { f["model"]["vocab"]["a"] = "x"; }, {"model.vocab", "'a'", "integer"});
  refused([](json& f) { f["model"]["vocab"]["a"] = 2147483647; }, {"2147483647", "3 entries"});
  refused([](json& f) { f["model"]["vocab"]["a"] = -1; }, {"-1"});
  refused([](json& f) { f["model"]["vocab"]["a"] = 1; }, {"two tokens", "id 1"});
  refused([](json& f) { f["added_tokens"][0]["id"] = 1 << 30; }, {"1073741824"});
  refused([](json& f) { f["added_tokens"][0].erase("content"); }, {"added_tokens[0].content", "expected a string", "nothing"});
  refused([](json& f) { f["model"]["merges"] = {"a c"}; }, {"merge 0", "'c'"});
  refused([](json& f) { f["model"]["merges"] = {"ab"}; }, {"merge 0", "'ab'"});
  refused([](json& f) { f["model"]["merges"] = json::parse(R"([["a",1]])"); }, {"model.merges[0]"});
  refused([](json& f) { f["model"].erase("merges"); }, {"model.merges", "expected a list"});
}

TEST_CASE("broken JSON and broken UTF-8 name the offset") {
  auto const text = good().dump();
  for (std::size_t n = 0; n < text.size(); ++n) { CHECK(refusal(text.substr(0, n)).find(" at byte ") != std::string::npos); }
  CHECK(refusal("{\"model\": \"\xFF\"}").find(" at byte 11:") != std::string::npos);
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {  // any result, no crash
    auto flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    refusal(flipped);
  }
}

TEST_CASE("folders") {
  namespace fs = std::filesystem;
  auto const folder = fs::temp_directory_path() / ("loopserve_broken_tokenizer_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  auto const put = [&](char const* name, std::string const& text) { std::ofstream(folder / name) << text; };
  auto const sentence = [&]() -> std::string {
    try {
      tokenizer::from_folder(folder);
      return {};
    } catch (format_error const& e) { return e.what(); }
  };
  CHECK(sentence().find("found neither") != std::string::npos);
  put("vocab.json", R"({"a":0,"b":1,"ab":2})");
  put("merges.txt", "#version: 0.2\na b\n");
  CHECK(sentence().find("A tokenizer.json in the folder is the remedy") != std::string::npos);
  put("tokenizer_config.json", R"({"tokenizer_class":"SomethingElse"})");
  CHECK(sentence().find("'SomethingElse'") != std::string::npos);
  put("tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer"})");
  CHECK(sentence() == "");
  put("merges.txt", "a  b\n");
  CHECK(sentence().find("merges.txt: merge 0") != std::string::npos);
  put("merges.txt", "a b\n");
  put("tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer","add_bos_token":true,"bos_token":"<s>"})");
  CHECK(sentence().find("'<s>' is no added token") != std::string::npos);
  put("tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer","add_bos_token":true,"bos_token":"<s>","added_tokens_decoder":{"3":{"content":"<s>","special":true}}})");
  CHECK(sentence() == "");
  CHECK(tokenizer::from_folder(folder).initial_tokens() == std::vector<token_id>{token_id{3}});
  put("tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer","added_tokens_decoder":{"x":{"content":"<s>"}}})");
  CHECK(sentence().find("expected ids as keys") != std::string::npos);
  fs::remove_all(folder);
}
