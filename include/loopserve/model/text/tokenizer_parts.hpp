// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/model/text/normalizer.hpp>
#include <loopserve/model/text/pre_tokenizer.hpp>

namespace loopserve::detail {

/// Two neighbouring tokens become one; of all that can merge in a word, the lowest rank goes first.
struct bpe_merge {
  std::int32_t left;
  std::int32_t right;
  std::int32_t result;
  std::uint32_t rank;
};

struct bpe_rules {
  bool byte_level = false;     ///< words are merged from bytes, otherwise from characters
  bool byte_fallback = false;  ///< a character outside the vocabulary becomes tokens named <0x00> to <0xFF>
  bool ignore_merges = false;  ///< a word that is a token is that token, whatever merging gives
  std::int32_t unknown = -1;   ///< what stands for a character outside the vocabulary; -1: nothing
  bool fuse_unknown = false;   ///< neighbouring unknown characters are one token
};

struct bpe_parts {
  std::vector<std::string> tokens;  ///< by id: bytes, or sentencepiece text; empty where an id is not used
  std::vector<bool> findable;       ///< by id: whether text can become this token
  std::vector<bpe_merge> merges;
  bpe_rules rules;
};

/// A token that is found as a whole in a text, before words are cut.
struct added_token {
  std::string content;
  token_id id{};
  bool special = false;      ///< found in control text only, and left out of decoded text where asked
  bool normalized = false;   ///< found after normalisation
  bool single_word = false;  ///< only where no letter, digit or _ stands beside it
  bool lstrip = false;       ///< takes the white space on its left
  bool rstrip = false;       ///< takes the white space on its right
};

/// How tokens become text again.
struct decode_rules {
  bool byte_tokens = false;   ///< <0x00> to <0xFF> stand for bytes
  bool marks = false;         ///< sentencepiece's mark stands for a space
  bool strip_first = false;   ///< one space at the beginning of a text is left out
};

/// What a tokenizer is built from, whatever file it came in.
struct tokenizer_parts {
  std::string where;  ///< names the file in errors
  bpe_parts model;
  std::vector<added_token> added;
  normalizer normal;
  pre_tokenizer splits;
  decode_rules decode;
  std::vector<token_id> initial;  ///< what the tokenizer itself puts in front of a text
};

/// Throws `format_error` for ids that no vocabulary of `entries` entries has: nothing is allocated for them.
inline void check_token_id(std::int64_t id, std::size_t entries, std::string const& where) {
  if (id < 0 || static_cast<std::uint64_t>(id) >= entries + 65536) {
    throw format_error(where + ": a vocabulary of " + std::to_string(entries) + " entries holds the id " + std::to_string(id) + "; expected ids from 0, with few gaps");
  }
}

}  // namespace loopserve::detail
