// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/gguf.hpp>
#include <loopserve/model/text/split_patterns.hpp>
#include <loopserve/model/text/tokenizer.hpp>
#include <loopserve/model/text/tokenizer_parts.hpp>
#include <loopserve/model/text/vocabulary_builder.hpp>

namespace loopserve {

namespace detail {

/// Reads the tokenizer of GGUF metadata: `gpt2` (byte-level, merges listed, words cut as `tokenizer.ggml.pre` names it) and `llama` (sentencepiece-style,
/// merged by scores). Anything else is refused by name.
class tokenizer_gguf_reader {
 public:
  explicit tokenizer_gguf_reader(gguf const& file) : file_(&file) { out_.where = file.file(); }

  [[gnu::cold]] tokenizer_parts read() && {
    auto const model = file_->string("tokenizer.ggml.model");
    tokens_ = file_->strings("tokenizer.ggml.tokens");
    if (tokens_.empty()) { bad_file(file_->file(), "metadata key 'tokenizer.ggml.tokens'", "tokens", "none"); }
    types_ = file_->has("tokenizer.ggml.token_type") ? file_->integers("tokenizer.ggml.token_type") : std::vector<std::int64_t>(tokens_.size(), normal);
    same_count("tokenizer.ggml.token_type", types_.size());
    bool adds_bos = false;
    if (model == "gpt2") {
      adds_bos = read_byte_level();
    } else if (model == "llama") {
      adds_bos = true;
      read_scored();
    } else {
      bad_file(file_->file(), "metadata key 'tokenizer.ggml.model'", "gpt2 or llama", "'" + std::string(model) + "'");
    }
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (types_[i] != control && types_[i] != unknown && types_[i] != user_defined) { continue; }
      out_.added.push_back({std::string(tokens_[i]), token_id(static_cast<std::int32_t>(i)), types_[i] != user_defined});
    }
    if (file_->boolean_or("tokenizer.ggml.add_bos_token", adds_bos)) { out_.initial.push_back(token_id(static_cast<std::int32_t>(id_of("tokenizer.ggml.bos_token_id")))); }
    return std::move(out_);
  }

 private:
  // The numbers of llama.cpp's token types.
  static constexpr std::int64_t normal = 1;
  static constexpr std::int64_t unknown = 2;
  static constexpr std::int64_t control = 3;
  static constexpr std::int64_t user_defined = 4;
  static constexpr std::int64_t byte = 6;

  [[gnu::cold]] void same_count(std::string const& key, std::size_t count) const {
    if (count != tokens_.size()) {
      bad_file(file_->file(), "metadata key '" + key + "'", "one entry for each of " + std::to_string(tokens_.size()) + " tokens", std::to_string(count));
    }
  }

  [[gnu::cold]] std::int64_t id_of(std::string const& key) const {
    auto const id = file_->integer(key);
    if (id < 0 || static_cast<std::uint64_t>(id) >= tokens_.size()) {
      bad_file(file_->file(), "metadata key '" + key + "'", "an id below " + std::to_string(tokens_.size()), std::to_string(id));
    }
    return id;
  }

  std::vector<std::string> contents() const { return {tokens_.begin(), tokens_.end()}; }

  /// Gives whether the family puts the beginning-of-text token in front where the file does not say.
  [[gnu::cold]] bool read_byte_level() {
    auto const name = std::string(file_->string_or("tokenizer.ggml.pre", "default"));
    bpe_rules rules;
    rules.byte_level = true;
    bool adds_bos = false;
    if (name == "gpt-2") {
      out_.splits = split_by_each({gpt2_pattern}, out_.where);
    } else if (name == "llama-bpe" || name == "llama3" || name == "llama-v3") {
      out_.splits = split_by_each({llama3_pattern}, out_.where);
      rules.ignore_merges = true;
      adds_bos = true;
    } else if (name == "qwen2") {
      out_.normal = normalizer({{normalizer::kind::nfc}});  // as the model's own tokenizer.json does
      out_.splits = split_by_each({qwen2_pattern}, out_.where);
    } else if (name == "smollm") {
      out_.splits = split_by_each({"\\p{N}", gpt2_pattern}, out_.where);
    } else if (name == "default") {
      out_.splits = split_by_each({"[\\p{P}\\$\\+<=>\\^~\\|]+", gpt2_pattern, "\\p{N}+", "[0-9][0-9][0-9]"}, out_.where);
    } else {
      bad_file(file_->file(), "metadata key 'tokenizer.ggml.pre'", "gpt-2, llama-bpe, qwen2, smollm or default", "'" + name + "'");
    }
    vocabulary_builder builder(contents(), out_.where);
    for (auto const line : file_->strings("tokenizer.ggml.merges")) { builder.merge_line(line); }
    out_.model = std::move(builder).finish(rules);
    return adds_bos;
  }

  /// Sentencepiece merges the neighbours whose joined text has the best score: each way to cut a token into two tokens is a merge of its score's rank.
  [[gnu::cold]] void read_scored() {
    auto const scores = file_->numbers("tokenizer.ggml.scores");
    same_count("tokenizer.ggml.scores", scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (std::isnan(scores[i])) { bad_file(file_->file(), "metadata key 'tokenizer.ggml.scores'", "numbers", "NaN at " + std::to_string(i)); }
    }
    std::vector<double> order(scores);
    std::sort(order.begin(), order.end(), std::greater<double>());
    order.erase(std::unique(order.begin(), order.end()), order.end());
    auto& model = out_.model;
    model.tokens = contents();
    for (auto type : types_) { model.findable.push_back(type == normal || type == user_defined || type == byte); }
    std::vector<bool> mergeable;
    for (auto type : types_) { mergeable.push_back(type == normal || type == user_defined); }
    token_table const table(model.tokens, mergeable);
    for (std::size_t i = 0; i < model.tokens.size(); ++i) {
      if (!mergeable[i]) { continue; }
      auto const rank = std::lower_bound(order.begin(), order.end(), scores[i], std::greater<double>()) - order.begin();
      add_merges(table, static_cast<std::int32_t>(i), static_cast<std::uint32_t>(rank));
    }
    model.rules.byte_fallback = std::find(types_.begin(), types_.end(), byte) != types_.end();
    model.rules.unknown = file_->has("tokenizer.ggml.unknown_token_id") ? static_cast<std::int32_t>(id_of("tokenizer.ggml.unknown_token_id")) : -1;
    bool const space_first = file_->boolean_or("tokenizer.ggml.add_space_prefix", true);
    std::string const mark(lower_one_eighth_block);
    std::vector<normalizer::step> steps;
    if (space_first) { steps.push_back({normalizer::kind::prepend, "", mark}); }
    steps.push_back({normalizer::kind::replace, " ", mark});
    out_.normal = normalizer(std::move(steps));
    out_.decode = {true, true, space_first};
  }

  [[gnu::cold]] void add_merges(token_table const& table, std::int32_t id, std::uint32_t rank) {
    auto const text = table[id];
    if (table.find(text) != id) { return; }  // a second token with the same text is never reached
    constexpr std::size_t longest = 512;     // no vocabulary has longer ones; the cuts of absurd ones would take quadratic time
    for (std::size_t cut = 1; cut < std::min(text.size(), longest); ++cut) {
      if ((static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) { continue; }
      auto const left = table.find(text.substr(0, cut));
      auto const right = left < 0 ? -1 : table.find(text.substr(cut));
      if (right >= 0) { out_.model.merges.push_back({left, right, id, rank}); }
    }
  }

  gguf const* file_;
  tokenizer_parts out_;
  std::vector<std::string_view> tokens_;
  std::vector<std::int64_t> types_;
};

}  // namespace detail

inline tokenizer tokenizer::from_gguf(gguf const& file) { return tokenizer(detail::tokenizer_gguf_reader(file).read()); }

}  // namespace loopserve
