// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/model/parse_json.hpp>
#include <loopserve/model/text/json_part.hpp>
#include <loopserve/model/text/split_patterns.hpp>
#include <loopserve/model/text/tokenizer_parts.hpp>
#include <loopserve/model/text/vocabulary_builder.hpp>

namespace loopserve::detail {

/// Reads tokenizer.json part by part. A part of a kind that is not known is refused by name, never passed over.
class tokenizer_json_reader {
 public:
  tokenizer_json_reader(json_value const& file, std::string const& where) : file_(file, where) { out_.where = where; }

  [[gnu::cold]] tokenizer_parts read() && {
    file_.expect(file_.value().is_object(), "an object");
    read_normalizer(file_["normalizer"]);
    read_pre_tokenizer(file_["pre_tokenizer"]);
    read_model(file_["model"]);
    if (!file_["added_tokens"].missing()) {
      file_["added_tokens"].for_each([&](json_part part) { read_added(part); });
    }
    read_decoder(file_["decoder"]);
    read_post_processor(file_["post_processor"]);
    if (byte_level_ != byte_level_decoder_) {
      file_["decoder"].fail(byte_level_ ? "expected ByteLevel, as the pre_tokenizer is" : "ByteLevel, but the pre_tokenizer is not");
    }
    out_.normal = normalizer(std::move(normal_));
    out_.splits = pre_tokenizer(std::move(splits_));
    return std::move(out_);
  }

 private:
  [[gnu::cold]] [[noreturn]] static void refuse(json_part part, std::string const& known) {
    part.fail("the type '" + part["type"].text_or("") + "' is not supported; known are " + known);
  }

  [[gnu::cold]] void read_normalizer(json_part part) {
    if (part.missing()) { return; }
    using kind = normalizer::kind;
    auto const type = part["type"].text();
    if (type == "Sequence") {
      part["normalizers"].for_each([&](json_part p) { read_normalizer(p); });
    } else if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
      normal_.push_back({type == "NFC" ? kind::nfc : type == "NFD" ? kind::nfd : type == "NFKC" ? kind::nfkc : kind::nfkd});
    } else if (type == "Prepend") {
      normal_.push_back({kind::prepend, "", part["prepend"].text()});
    } else if (type == "Replace") {
      auto const from = part["pattern"]["String"];
      if (from.missing() || from.text().empty()) { part["pattern"].fail("only a String that is not empty is supported"); }
      normal_.push_back({kind::replace, from.text(), part["content"].text()});
    } else {
      refuse(part, "Sequence, NFC, NFD, NFKC, NFKD, Prepend, Replace");
    }
  }

  [[gnu::cold]] void read_pre_tokenizer(json_part part) {
    if (part.missing()) { return; }
    auto const type = part["type"].text();
    if (byte_level_) { part.fail("nothing may follow ByteLevel"); }
    if (type == "Sequence") {
      part["pretokenizers"].for_each([&](json_part p) { read_pre_tokenizer(p); });
    } else if (type == "Split") {
      read_split(part);
    } else if (type == "Digits") {
      splits_.push_back(split_by(part["individual_digits"].flag_or(false) ? "\\p{N}" : "\\p{N}+", part.file()));
    } else if (type == "ByteLevel") {
      if (part["add_prefix_space"].flag_or(true)) { splits_.push_back({{}, pre_tokenizer::mark_step{" ", prepend_scheme::always, false}}); }
      if (part["use_regex"].flag_or(true)) { splits_.push_back(split_by(gpt2_pattern, part.file())); }
      byte_level_ = true;
    } else if (type == "Metaspace") {
      auto const mark = part["replacement"].text();
      if (mark.empty()) { part["replacement"].fail("expected a character"); }
      splits_.push_back({{}, pre_tokenizer::mark_step{mark, read_scheme(part), true}});
      if (part["split"].flag_or(true)) { splits_.push_back(split_by(literal(mark), part.file(), split_behavior::merged_with_next)); }
    } else {
      refuse(part, "Sequence, Split, Digits, ByteLevel, Metaspace");
    }
  }

  [[gnu::cold]] static std::string literal(std::string const& text) {
    std::string out;
    for (auto c : text) {
      bool const plain = static_cast<unsigned char>(c) >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!plain) { out += '\\'; }
      out += c;
    }
    return out;
  }

  [[gnu::cold]] static prepend_scheme read_scheme(json_part part) {
    auto const scheme = part["prepend_scheme"].text_or(part["add_prefix_space"].flag_or(true) ? "always" : "never");
    if (scheme == "always") { return prepend_scheme::always; }
    if (scheme == "first") { return prepend_scheme::first; }
    if (scheme == "never") { return prepend_scheme::never; }
    part["prepend_scheme"].fail("expected always, first or never, found '" + scheme + "'");
  }

  [[gnu::cold]] void read_split(json_part part) {
    static std::vector<std::pair<char const*, split_behavior>> const names = {{"Removed", split_behavior::removed},
                                                                             {"Isolated", split_behavior::isolated},
                                                                             {"MergedWithPrevious", split_behavior::merged_with_previous},
                                                                             {"MergedWithNext", split_behavior::merged_with_next},
                                                                             {"Contiguous", split_behavior::contiguous}};
    auto const name = part["behavior"].text();
    auto const known = std::find_if(names.begin(), names.end(), [&](auto const& n) { return n.first == name; });
    if (known == names.end()) { part["behavior"].fail("'" + name + "' is not supported"); }
    auto const pattern = part["pattern"];
    auto const text = pattern["Regex"].missing() ? literal(pattern["String"].text()) : pattern["Regex"].text();
    splits_.push_back(split_by(text, part.file(), known->second, part["invert"].flag_or(false)));
  }

  [[gnu::cold]] void read_model(json_part part) {
    part.expect(part.value().is_object(), "an object");
    if (auto const type = part["type"].text_or("BPE"); type != "BPE") { refuse(part, "BPE"); }
    for (auto const* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!part[key].text_or("").empty()) { part[key].fail("only an empty one is supported"); }
    }
    auto const dropout = part["dropout"];
    if (!dropout.missing() && !(dropout.value().is_number() && dropout.value().number() == 0.0)) { dropout.fail("only none is supported"); }
    auto const vocab = part["vocab"];
    vocab.expect(vocab.value().is_object(), "an object");
    auto const entries = vocab.value().members();
    std::vector<std::string> contents;
    for (auto const& [content, id] : entries) {
      if (!id.integer()) { vocab.fail("'" + content + "': expected an integer"); }
      auto const i = *id.integer();
      check_token_id(i, entries.size(), part.file());
      if (static_cast<std::size_t>(i) >= contents.size()) { contents.resize(static_cast<std::size_t>(i) + 1); }
      if (!contents[static_cast<std::size_t>(i)].empty()) { vocab.fail("two tokens have the id " + std::to_string(i)); }
      contents[static_cast<std::size_t>(i)] = content;
    }
    vocabulary_builder builder(std::move(contents), part.file());
    part["merges"].for_each([&](json_part m) {
      if (m.value().is_array()) {
        auto const pair = m.value().items();
        if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) { m.fail("expected two strings"); }
        builder.merge(pair[0].text(), pair[1].text());
      } else {
        builder.merge_line(m.text());
      }
    });
    bpe_rules rules;
    rules.byte_level = byte_level_;
    rules.byte_fallback = part["byte_fallback"].flag_or(false);
    rules.ignore_merges = part["ignore_merges"].flag_or(false);
    rules.fuse_unknown = part["fuse_unk"].flag_or(false);
    if (auto const unknown = part["unk_token"]; !unknown.missing()) {
      rules.unknown = builder.find(unknown.text());
      if (rules.unknown < 0) { unknown.fail("expected a token of the vocabulary, found '" + unknown.text() + "'"); }
    }
    out_.model = std::move(builder).finish(rules);
  }

  [[gnu::cold]] void read_added(json_part part) {
    added_token t;
    t.content = part["content"].text();
    auto const id = part["id"].integer();
    check_token_id(id, out_.model.tokens.size() + out_.added.size(), part.file());
    t.id = token_id(static_cast<std::int32_t>(id));
    t.special = part["special"].flag_or(false);
    t.normalized = part["normalized"].flag_or(!t.special);
    t.single_word = part["single_word"].flag_or(false);
    t.lstrip = part["lstrip"].flag_or(false);
    t.rstrip = part["rstrip"].flag_or(false);
    out_.added.push_back(std::move(t));
  }

  [[gnu::cold]] void read_decoder(json_part part) {
    auto const type = part["type"].text();
    if (type == "Sequence") {
      part["decoders"].for_each([&](json_part p) { read_decoder(p); });
    } else if (type == "ByteLevel") {
      byte_level_decoder_ = true;
    } else if (type == "Replace" && part["pattern"]["String"].text_or("") == lower_one_eighth_block && part["content"].text() == " ") {
      out_.decode.marks = true;
    } else if (type == "ByteFallback") {
      out_.decode.byte_tokens = true;
    } else if (type == "Strip" && part["content"].text() == " " && part["start"].integer() == 1 && part["stop"].integer() == 0) {
      out_.decode.strip_first = true;
    } else if (type == "Metaspace" && part["replacement"].text() == lower_one_eighth_block) {
      out_.decode.marks = true;
      out_.decode.strip_first = read_scheme(part) != prepend_scheme::never;
    } else if (type != "Fuse") {
      refuse(part, "Sequence, ByteLevel, Metaspace, ByteFallback, Fuse, Replace of U+2581 by a space, Strip of one space at the start");
    }
  }

  [[gnu::cold]] void read_post_processor(json_part part) {
    if (part.missing()) { return; }
    auto const type = part["type"].text();
    if (type == "Sequence") {
      part["processors"].for_each([&](json_part p) { read_post_processor(p); });
    } else if (type == "TemplateProcessing") {
      bool text_seen = false;
      part["single"].for_each([&](json_part p) {
        if (!p["Sequence"].missing()) {
          text_seen = true;
          return;
        }
        auto const name = p["SpecialToken"]["id"].text();
        if (text_seen) { p.fail("tokens behind the text are not supported, found '" + name + "'"); }
        part["special_tokens"][name.c_str()]["ids"].for_each([&](json_part id) {
          check_token_id(id.integer(), out_.model.tokens.size() + out_.added.size(), id.file());
          out_.initial.push_back(token_id(static_cast<std::int32_t>(id.integer())));
        });
      });
    } else if (type != "ByteLevel") {  // a byte-level one only trims offsets
      refuse(part, "Sequence, TemplateProcessing, ByteLevel");
    }
  }

  json_part file_;
  tokenizer_parts out_;
  std::vector<normalizer::step> normal_;
  std::vector<pre_tokenizer::step> splits_;
  bool byte_level_ = false;
  bool byte_level_decoder_ = false;
};

/// Throws `format_error` naming `where`, the way to the part, what was expected and what was found.
[[gnu::cold]] inline tokenizer_parts parts_of_tokenizer_json(std::string_view text, std::string const& where) {
  auto const file = parse_json(text, {.file = where});
  return tokenizer_json_reader(file, where).read();
}

}  // namespace loopserve::detail
