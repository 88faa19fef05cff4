// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <loopserve/core/ids.hpp>
#include <loopserve/model/text/added_tokens.hpp>
#include <loopserve/model/text/bpe.hpp>
#include <loopserve/model/text/text_piece.hpp>
#include <loopserve/model/text/tokenizer_json.hpp>
#include <loopserve/model/text/tokenizer_parts.hpp>
#include <loopserve/model/text/tokenizer_vocab_files.hpp>

namespace loopserve {

class gguf;

/// Text to tokens and back: byte-level and sentencepiece-style byte-pair encoding as tokenizer.json, vocab.json + merges.txt and GGUF files define them.
/// Movable, immutable, safe to use from several threads. Text is bytes: what is not UTF-8 is encoded byte by byte and comes back as it was where the
/// vocabulary has bytes.
class tokenizer {
 public:
  /// Reads tokenizer.json of a model folder, or vocab.json + merges.txt where there is none. Throws `format_error`: file, place, expected, found.
  static tokenizer from_folder(std::filesystem::path const& folder);
  /// Reads the metadata of a GGUF file. Defined in tokenizer_gguf.hpp.
  static tokenizer from_gguf(gguf const& file);
  /// Reads the text of a tokenizer.json; `where` names it in errors.
  static tokenizer from_json(std::string_view text, std::string const& where) { return tokenizer(detail::parts_of_tokenizer_json(text, where)); }

  explicit tokenizer(detail::tokenizer_parts parts)
      : normal_(std::move(parts.normal)), splits_(std::move(parts.splits)), decode_(parts.decode), initial_(std::move(parts.initial)) {
    auto& model = parts.model;
    for (std::size_t i = 0; i < model.tokens.size(); ++i) {
      kinds_.push_back(decode_.byte_tokens && byte_of(model.tokens[i]) >= 0 ? kind::byte : kind::plain);
    }
    std::vector<detail::added_token> before;
    std::vector<detail::added_token> after;
    for (auto& t : parts.added) {
      auto const id = static_cast<std::size_t>(raw(t.id));
      if (id >= model.tokens.size()) {
        model.tokens.resize(id + 1);
        model.findable.resize(id + 1, false);
        kinds_.resize(id + 1, kind::plain);
      }
      if (t.special) { model.findable[id] = false; }  // user text never becomes it
      kinds_[id] = t.special ? kind::special : kind::added;
      model.tokens[id] = t.content;
      added_ids_.emplace(t.content, t.id);
      // Special tokens are looked for in the text as it came, where it is known which stretch is control text.
      if (t.normalized && !t.special && !normal_.empty()) {
        t.content = normal_(t.content, true);
        after.push_back(std::move(t));
      } else {
        before.push_back(std::move(t));
      }
    }
    before_ = detail::added_token_finder(std::move(before));
    after_ = detail::added_token_finder(std::move(after));
    model_ = detail::bpe(model);
  }

  /// One more than the largest id.
  int size() const { return static_cast<int>(kinds_.size()); }

  bool is_special(token_id id) const { return in_range(id) && kind_of(id) == kind::special; }

  /// The token with exactly this text (an added token) or these bytes.
  std::optional<token_id> find(std::string_view text) const {
    if (auto const it = added_ids_.find(std::string(text)); it != added_ids_.end()) { return it->second; }
    if (auto const id = model_.table().find(text); id >= 0) { return token_id(id); }
    return {};
  }

  /// A token as the vocabulary holds it: its bytes, or sentencepiece text. Empty for ids that are no token.
  std::string_view bytes(token_id id) const { return in_range(id) ? model_.table()[raw(id)] : std::string_view(); }

  /// What the tokenizer itself puts in front of a text that no chat template has rendered: the beginning-of-text token, or nothing.
  std::vector<token_id> const& initial_tokens() const { return initial_; }

  /// Encodes plain text: strings of special tokens are text, nothing is put in front.
  std::vector<token_id> encode(std::string_view text) const {
    std::vector<token_id> out;
    encode_run(text, {}, true, false, out);
    return out;
  }

  /// Encodes pieces as one text (see `text_piece`). Nothing is put in front.
  std::vector<token_id> encode(std::span<text_piece const> pieces) const {
    std::vector<token_id> out;
    std::string run;
    control_ranges control;
    bool at_start = true;
    bool joined = false;
    auto const flush = [&] {
      if (run.empty()) { return; }
      encode_run(run, control, at_start, joined, out);
      at_start = false;
      run.clear();
      control.clear();
    };
    for (auto const& piece : pieces) {
      if (piece.ids.empty()) {
        auto const begin = run.size();
        run += piece.text;
        if (piece.control && !piece.text.empty()) {
          if (!control.empty() && control.back().second == begin) {
            control.back().second = run.size();
          } else {
            control.emplace_back(begin, run.size());
          }
        }
        continue;
      }
      flush();
      out.insert(out.end(), piece.ids.begin(), piece.ids.end());
      at_start = false;
      joined = !is_special(piece.ids.back());
    }
    flush();
    return out;
  }

  /// The text of tokens, as bytes: it is UTF-8 where the tokens are whole (`text_stream` replaces what is not). Ids that are no token have no text.
  std::string decode(std::span<token_id const> ids, bool skip_special = true) const {
    std::string out;
    for (auto id : ids) {
      if (!(skip_special && is_special(id))) { append_text(id, out); }
    }
    if (strips_first_space() && !out.empty() && out[0] == ' ') { out.erase(0, 1); }
    return out;
  }

  /// Appends the bytes that a token stands for in the middle of a text.
  void append_text(token_id id, std::string& out) const {
    if (!in_range(id)) { return; }
    auto token = bytes(id);
    if (kind_of(id) == kind::byte) {
      out += static_cast<char>(static_cast<unsigned char>(byte_of(token)));
      return;
    }
    if (!decode_.marks || kind_of(id) != kind::plain) {
      out += token;
      return;
    }
    constexpr auto mark = detail::lower_one_eighth_block;
    for (auto at = token.find(mark); at != std::string_view::npos; at = token.find(mark)) {
      out.append(token.substr(0, at)).append(" ");
      token.remove_prefix(at + mark.size());
    }
    out += token;
  }

  /// Whether one space at the beginning of a decoded text is not part of it (sentencepiece puts it there).
  bool strips_first_space() const { return decode_.strip_first; }

 private:
  enum class kind : std::uint8_t { plain, byte, added, special };
  using control_ranges = std::vector<std::pair<std::size_t, std::size_t>>;  ///< ascending, apart

  bool in_range(token_id id) const { return raw(id) >= 0 && static_cast<std::size_t>(raw(id)) < kinds_.size(); }
  kind kind_of(token_id id) const { return kinds_[static_cast<std::size_t>(raw(id))]; }

  /// The byte that a token named <0x00> to <0xFF> stands for, -1 for others.
  static int byte_of(std::string_view token) {
    if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') { return -1; }
    auto const digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    auto const high = digit(token[3]);
    auto const low = digit(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }

  void encode_run(std::string_view text, control_ranges const& control, bool at_start, bool joined, std::vector<token_id>& out) const {
    detail::word_list words;
    auto const inside = [&](std::size_t begin, std::size_t end) {
      auto const next = std::upper_bound(control.begin(), control.end(), begin, [](std::size_t b, auto const& range) { return b < range.first; });
      return next != control.begin() && end <= std::prev(next)->second;
    };
    auto const anywhere = [](std::size_t, std::size_t, detail::added_token const&) { return true; };
    auto const found = [&](detail::added_token const& token) {
      out.push_back(token.id);
      at_start = joined = false;
    };
    auto const encode_words = [&](std::string_view part) {
      splits_(part, at_start, words);
      for (auto const& w : words.words) { model_.encode(words.text.substr(w.begin, w.end - w.begin), out); }
      at_start = joined = false;
    };
    auto const allowed = [&](std::size_t begin, std::size_t end, detail::added_token const& token) { return !token.special || inside(begin, end); };
    auto const rest = [&](std::size_t begin, std::size_t end) {
      auto const part = text.substr(begin, end - begin);
      if (normal_.empty()) { return encode_words(part); }
      auto const normalized = normal_(part, joined);
      std::string_view const view = normalized;
      after_.scan(view, anywhere, [&](std::size_t b, std::size_t e) { encode_words(view.substr(b, e - b)); }, found);
    };
    before_.scan(text, allowed, rest, found);
  }

  detail::bpe model_;
  detail::normalizer normal_;
  detail::pre_tokenizer splits_;
  detail::decode_rules decode_;
  detail::added_token_finder before_;  ///< looked for before normalisation
  detail::added_token_finder after_;
  std::vector<token_id> initial_;
  std::vector<kind> kinds_;
  std::unordered_map<std::string, token_id> added_ids_;
};

namespace detail {

/// Llama-class tokenizers are told by tokenizer_config.json whether a text begins with the beginning-of-text token; it overrides the post-processor.
inline void apply_add_bos_token(tokenizer_parts& parts, json_part config) {
  auto const flag = config["add_bos_token"];
  if (flag.missing()) { return; }
  auto const content = token_text(config["bos_token"]);
  if (flag.flag_or(false)) {
    auto const bos = std::find_if(parts.added.begin(), parts.added.end(), [&](added_token const& t) { return t.content == content; });
    if (content.empty() || bos == parts.added.end()) { flag.fail("set, but the bos_token '" + content + "' is no added token"); }
    if (parts.initial.empty()) { parts.initial.push_back(bos->id); }
  } else if (config["tokenizer_class"].text_or("").substr(0, 14) == "LlamaTokenizer") {
    parts.initial.clear();
  }
}

}  // namespace detail

inline tokenizer tokenizer::from_folder(std::filesystem::path const& folder) {
  auto const file = folder / "tokenizer.json";
  bool const has_file = std::filesystem::exists(file);
  if (!has_file && !(std::filesystem::exists(folder / "vocab.json") && std::filesystem::exists(folder / "merges.txt"))) {
    throw format_error(folder.string() + ": expected tokenizer.json, or vocab.json and merges.txt; found neither");
  }
  auto parts = has_file ? detail::parts_of_tokenizer_json(detail::read_text_file(file), file.string()) : detail::vocab_files_reader(folder).read();
  auto const config = detail::json_of_folder(folder, "tokenizer_config.json");
  detail::apply_add_bos_token(parts, detail::json_part(config, (folder / "tokenizer_config.json").string()));
  return tokenizer(std::move(parts));
}

}  // namespace loopserve
