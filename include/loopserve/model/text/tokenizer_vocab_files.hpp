// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/model/parse_json.hpp>
#include <loopserve/model/text/json_part.hpp>
#include <loopserve/model/text/split_patterns.hpp>
#include <loopserve/model/text/tokenizer_parts.hpp>
#include <loopserve/model/text/vocabulary_builder.hpp>

namespace loopserve::detail {

/// A JSON file of the folder; null where there is none.
[[gnu::cold]] inline json_value json_of_folder(std::filesystem::path const& folder, char const* name) {
  auto const path = folder / name;
  return std::filesystem::exists(path) ? parse_json(read_text_file(path), {.file = path.string()}) : json_value();
}

/// A token as tokenizer_config.json and special_tokens_map.json write it: a string, or an object with its content; empty where missing.
[[gnu::cold]] inline std::string token_text(json_part part) {
  if (part.missing()) { return {}; }
  return part.value().is_object() ? part["content"].text() : part.text();
}

/// Reads the older pair vocab.json + merges.txt. The pair does not say how words are cut: that comes from the tokenizer_class of tokenizer_config.json, or
/// from the model_type of config.json. Added tokens are in tokenizer_config.json, or in added_tokens.json with special_tokens_map.json.
class vocab_files_reader {
 public:
  explicit vocab_files_reader(std::filesystem::path folder)
      : folder_(std::move(folder)),
        config_(json_of_folder(folder_, "tokenizer_config.json")),
        model_config_(json_of_folder(folder_, "config.json")) {}

  [[gnu::cold]] tokenizer_parts read() && {
    out_.where = (folder_ / "vocab.json").string();
    choose_family();
    read_vocabulary();
    read_added();
    return std::move(out_);
  }

 private:
  [[gnu::cold]] void choose_family() {
    json_part const config(config_, (folder_ / "tokenizer_config.json").string());
    json_part const model(model_config_, (folder_ / "config.json").string());
    auto family = config["tokenizer_class"].text_or("");
    if (family.size() > 4 && family.substr(family.size() - 4) == "Fast") { family.resize(family.size() - 4); }
    if (family.empty()) { family = model["model_type"].text_or(""); }
    if (family == "Qwen2Tokenizer" || family == "qwen2" || family == "qwen3") {
      out_.normal = normalizer({{normalizer::kind::nfc}});
      out_.splits = split_by_each({qwen2_pattern}, out_.where);
    } else if (family == "GPT2Tokenizer" || family == "gpt2") {
      out_.splits = split_by_each({gpt2_pattern}, out_.where);
    } else {
      throw format_error(out_.where + ": tokenizer_config.json and config.json name the tokenizer '" + family +
                         "'; without a tokenizer.json only Qwen2Tokenizer and GPT2Tokenizer are known. A tokenizer.json in the folder is the remedy");
    }
  }

  [[gnu::cold]] void read_vocabulary() {
    auto const vocab = parse_json(read_text_file(folder_ / "vocab.json"), {.file = out_.where});
    if (!vocab.is_object()) { throw format_error(out_.where + ": expected an object of tokens and ids"); }
    auto const entries = vocab.members();
    std::vector<std::string> contents;
    for (auto const& [content, id] : entries) {
      if (!id.integer()) { throw format_error(out_.where + ": '" + content + "': expected an integer"); }
      check_token_id(*id.integer(), entries.size(), out_.where);
      auto const i = static_cast<std::size_t>(*id.integer());
      if (i >= contents.size()) { contents.resize(i + 1); }
      contents[i] = content;
    }
    auto const path = folder_ / "merges.txt";
    auto const merges = read_text_file(path);
    vocabulary_builder builder(std::move(contents), path.string());
    std::string_view rest = merges;
    for (bool first = true; !rest.empty(); first = false) {
      auto const end = rest.find('\n');
      auto line = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      if (!line.empty() && line.back() == '\r') { line.remove_suffix(1); }
      if (line.empty() || (first && line.substr(0, 8) == "#version")) { continue; }
      builder.merge_line(line);
    }
    out_.model = std::move(builder).finish({.byte_level = true});
  }

  [[gnu::cold]] void read_added() {
    json_part const config(config_, (folder_ / "tokenizer_config.json").string());
    if (auto const list = config["added_tokens_decoder"]; !list.missing()) {
      list.expect(list.value().is_object(), "an object");
      for (auto const& [key, value] : list.value().members()) {
        auto const part = list[key.c_str()];
        if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos) { list.fail("expected ids as keys, found '" + key + "'"); }
        bool const special = part["special"].flag_or(false);
        add({part["content"].text(), token_id{}, special, part["normalized"].flag_or(!special), part["single_word"].flag_or(false),
             part["lstrip"].flag_or(false), part["rstrip"].flag_or(false)},
            std::stoll(key), list.file());
      }
      return;
    }
    auto const map_file = json_of_folder(folder_, "special_tokens_map.json");
    auto const special = special_contents(json_part(map_file, (folder_ / "special_tokens_map.json").string()));
    auto const added = json_of_folder(folder_, "added_tokens.json");
    json_part const list(added, (folder_ / "added_tokens.json").string());
    if (list.missing()) { return; }
    list.expect(list.value().is_object(), "an object");
    for (auto const& [content, id] : list.value().members()) {
      bool const is_special = std::find(special.begin(), special.end(), content) != special.end();
      add({content, token_id{}, is_special, !is_special}, list[content.c_str()].integer(), list.file());
    }
  }

  [[gnu::cold]] static std::vector<std::string> special_contents(json_part map) {
    std::vector<std::string> out;
    for (auto const* key : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"}) {
      if (auto content = token_text(map[key]); !content.empty()) { out.push_back(std::move(content)); }
    }
    if (auto const more = map["additional_special_tokens"]; !more.missing()) {
      more.for_each([&](json_part p) { out.push_back(token_text(p)); });
    }
    return out;
  }

  [[gnu::cold]] void add(added_token token, std::int64_t id, std::string const& where) {
    check_token_id(id, out_.model.tokens.size() + out_.added.size(), where);
    token.id = token_id(static_cast<std::int32_t>(id));
    out_.added.push_back(std::move(token));
  }

  std::filesystem::path folder_;
  json_value config_;
  json_value model_config_;
  tokenizer_parts out_;
};

}  // namespace loopserve::detail
