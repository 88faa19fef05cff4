// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include <loopserve/core/rng.hpp>
#include <loopserve/model/text/text_stream.hpp>
#include <loopserve/model/text/tokenizer.hpp>

#include "text_vectors.hpp"

using namespace loopserve;
using namespace text_test;

namespace {

/// Bytes, a few merges, special and other added tokens.
tokenizer small(std::string const& normalizer = "null") {
  nlohmann::json vocab;
  int next = 0;
  int other = 256;
  for (int b = 0; b < 256; ++b) {
    bool const itself = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    std::string key;
    detail::append_utf8(key, static_cast<char32_t>(itself ? b : other++));
    vocab[key] = next++;
  }
  nlohmann::json merges = nlohmann::json::array();
  for (auto const* m : {"a b", "ab ab", "\xC4\xA0 w"}) {
    std::string const line = m;
    auto const space = line.find(' ');
    vocab[line.substr(0, space) + line.substr(space + 1)] = next++;
    merges.push_back(line);
  }
  auto file = nlohmann::json::parse(R"({"added_tokens":[{"id":300,"content":"<s>","special":true},{"id":301,"content":"<s><s>","special":true},
    {"id":302,"content":"tool","special":false,"normalized":false},{"id":303,"content":"word","single_word":true,"special":false,"normalized":false},
    {"id":304,"content":"<m>","special":true,"lstrip":true,"rstrip":true},{"id":305,"content":"cafe\u0301","special":false,"normalized":true}],
    "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":" ?\\w+| ?[^\\s\\w]+|\\s+"},"behavior":"Isolated"},
    {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE"}})");
  file["normalizer"] = nlohmann::json::parse(normalizer);
  file["model"]["vocab"] = vocab;
  file["model"]["merges"] = merges;
  return tokenizer::from_json(file.dump(), "small");
}

std::string ids(tokenizer const& t, std::vector<text_piece> const& pieces) {
  std::string out;
  for (auto id : t.encode(pieces)) {
    if (raw(id) >= 300) {
      out += "[" + std::to_string(raw(id)) + "]";
    } else {
      out += std::string(t.bytes(id)) + "|";
    }
  }
  return out;
}

tokenizer stories() { return tokenizer::from_folder(material("models/stories260K")); }

}  // namespace

TEST_CASE("special tokens are found in control text only, other added tokens in all text") {
  auto const t = small();
  CHECK(ids(t, {{"<s>ab", true}}) == "[300]ab|");
  CHECK(ids(t, {{"<s>ab", false}}) == "<|s|>|ab|");
  CHECK(ids(t, {{"<s", true}, {">", false}}) == "<|s|>|");
  CHECK(ids(t, {{"<", false}, {"s>", true}}) == "<|s|>|");
  CHECK(ids(t, {{"<s", true}, {">x", true}}) == "[300]x|");
  CHECK(ids(t, {{"<s><s><s>", true}}) == "[301][300]");
  CHECK(ids(t, {{"<s><s", true}, {">", false}}) == "[300]<|s|>|");
  CHECK(ids(t, {{"a tool b", false}}) == "a| |[302] |b|");
  CHECK(ids(t, {{"word swords word_ (word)", false}}) == "[303] |s|w|o|r|d|s| w|o|r|d|_| |(|[303])|");
  CHECK(ids(t, {{"a  <m> \n b", true}}) == "a|[304]b|");
  CHECK(t.is_special(token_id{300}));
  CHECK_FALSE(t.is_special(token_id{302}));
  CHECK(t.find("<s>") == token_id{300});
  CHECK_FALSE(t.find("nothing"));
  CHECK(t.size() == 306);
}

TEST_CASE("neighbouring pieces are one text, ids stay as they are") {
  auto const t = small();
  CHECK(ids(t, {{"a", true}, {"b", false}, {"ab", true}}) == "abab|");
  CHECK(ids(t, {{"a", false}, {"", false, {token_id{300}, token_id{7}}}, {"b", false}}) == "a|[300]" + std::string(t.bytes(token_id{7})) + "|b|");
  CHECK(ids(t, {{"ignored", true, {token_id{300}}}}) == "[300]");
  CHECK(t.encode(std::vector<text_piece>{}).empty());
  CHECK(t.encode("").empty());
  if (!have_material()) { return; }
  auto const s = stories();
  auto const at = [&](std::vector<text_piece> const& p) { return joined(s.encode(p)); };
  auto const a = *s.find("a");
  // Sentencepiece's space: at the beginning, and behind a special token, but not where ids of plain text stand in front.
  CHECK(at({{"on", false}}) == joined(s.encode("on")));
  CHECK(at({{"", false, {token_id{1}}}, {"on", false}}) == "1 " + joined(s.encode("on")));
  CHECK(at({{"<s>on", true}}) == "1 " + joined(s.encode("on")));
  CHECK(at({{"", false, {a}}, {"on", false}}) != std::to_string(raw(a)) + " " + joined(s.encode("on")));
  CHECK(s.decode(s.encode(std::vector<text_piece>{{"", false, {a}}, {"on", false}})) == "aon");
}

TEST_CASE("tokens that are found behind normalisation") {
  auto const t = small(R"({"type":"NFC"})");
  CHECK(ids(t, {{"caf\xC3\xA9", false}}) == "[305]");
  CHECK(ids(t, {{"cafe\xCC\x81", false}}) == "[305]");
  CHECK(t.decode(t.encode("e\xCC\x81")) == "\xC3\xA9");
}

TEST_CASE("any bytes come back") {
  auto const t = small();
  std::vector<tokenizer> all;
  all.push_back(small());
  all.push_back(tokenizer::from_folder(std::filesystem::path(LOOPSERVE_SOURCE_DIR) / "assets/demo-model"));
  if (have_material()) {
    all.push_back(stories());
    all.push_back(tokenizer::from_folder(material("tokenizers/llama3")));
  }
  for (std::uint64_t trial = 0; trial < 2000; ++trial) {
    counter_rng const rng{2, trial};
    std::string text;
    auto const length = rng.below(0, 24);
    static constexpr char const* parts[] = {"a", " ", "\xFF", "\xC3", "\xA9", "\xF0\x9F", "\x98\x80", "\xE4\xB8\xAD", "\xED\xA0\x80", "\n", "1", "ab", "\xC0\x80", "\xF4\x90"};
    for (std::uint64_t i = 1; i <= length; ++i) { text += parts[rng.below(i, 14)]; }
    for (auto const& one : all) {
      auto const tokens = one.encode(text);
      CHECK(one.decode(tokens) == text);
      text_stream stream(one);
      std::string out;
      for (auto id : tokens) {
        auto const piece = stream.push(id);
        CHECK(detail::valid_utf8_end(piece, 0) == piece.size());
        out += piece;
      }
      out += stream.flush();
      CHECK(detail::valid_utf8_end(out, 0) == out.size());
      if (detail::valid_utf8_end(text, 0) == text.size()) { CHECK(out == text); }
    }
  }
}

TEST_CASE("a stream holds back what may become a character, and replaces what cannot") {
  auto const t = small();
  auto const byte = [&](int b) { return *t.find(std::string(1, static_cast<char>(b))); };
  text_stream s(t);
  CHECK(s.push(byte(0xF0)) == "");
  CHECK(s.push(byte(0x9F)) == "");
  CHECK(s.push(byte(0x98)) == "");
  CHECK(s.push(byte(0x80)) == "\xF0\x9F\x98\x80");
  CHECK(s.push(byte(0xE4)) == "");
  CHECK(s.push(byte('x')) == "\xEF\xBF\xBDx");
  CHECK(s.push(byte(0x80)) == "\xEF\xBF\xBD");
  CHECK(s.push(byte(0xC3)) == "");
  CHECK(s.push(token_id{300}) == "");
  CHECK(s.flush() == "\xEF\xBF\xBD");
  CHECK(s.flush() == "");
  text_stream all(t, false);
  CHECK(all.push(token_id{300}) == "<s>");
  CHECK(all.push(token_id{99999}) == "");
  CHECK(all.push(token_id{-1}) == "");
  if (!have_material()) { return; }
  auto const sp = stories();
  auto const tokens = sp.encode("on on");
  auto const streamed = [&](text_stream stream) {
    std::string out;
    for (auto id : tokens) { out += stream.push(id); }
    return out += stream.flush();
  };
  CHECK(streamed(text_stream(sp)) == "on on");
  CHECK(streamed(text_stream(sp, true, true)) == " on on");
}

TEST_CASE("threads encode with one tokenizer") {
  auto const t = tokenizer::from_folder(std::filesystem::path(LOOPSERVE_SOURCE_DIR) / "assets/demo-model");
  std::string const text = "The quick brown fox said: it's 12345 o'clock, and the lazy dogs were asleep.";
  std::vector<std::vector<token_id>> results(4);
  std::vector<std::thread> threads;
  for (auto& r : results) {
    threads.emplace_back([&] { r = t.encode(text); });
  }
  for (auto& thread : threads) { thread.join(); }
  for (auto const& r : results) { CHECK(r == t.encode(text)); }
}
