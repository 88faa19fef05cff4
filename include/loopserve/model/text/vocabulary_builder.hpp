// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/model/text/byte_alphabet.hpp>
#include <loopserve/model/text/token_table.hpp>
#include <loopserve/model/text/tokenizer_parts.hpp>

namespace loopserve::detail {

/// Turns the strings of a vocabulary and of its merges, as files hold them, into ids.
class vocabulary_builder {
 public:
  vocabulary_builder(std::vector<std::string> contents, std::string where)
      : where_(std::move(where)), contents_(std::move(contents)), table_(contents_, std::vector<bool>(contents_.size(), true)) {}

  std::int32_t find(std::string_view content) const { return table_.find(content); }

  /// Merges rank in the order of these calls. Throws `format_error` where a part or the result is no entry of the vocabulary.
  void merge(std::string_view left, std::string_view right) {
    scratch_.assign(left).append(right);
    bpe_merge const m{find(left), find(right), find(scratch_), static_cast<std::uint32_t>(merges_.size())};
    if (m.left < 0 || m.right < 0 || m.result < 0) {
      throw format_error(where_ + ": merge " + std::to_string(merges_.size()) + ", '" + std::string(left) + "' with '" + std::string(right) +
                         "', expected tokens of the vocabulary; '" + (m.left < 0 ? std::string(left) : m.right < 0 ? std::string(right) : scratch_) + "' is none");
    }
    merges_.push_back(m);
  }

  /// One line of the older form: two tokens with a space between them.
  [[gnu::cold]] void merge_line(std::string_view line) {
    auto const space = line.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == line.size() || line.find(' ', space + 1) != std::string_view::npos) {
      throw format_error(where_ + ": merge " + std::to_string(merges_.size()) + ", expected two tokens with one space between them, found '" + std::string(line) + "'");
    }
    merge(line.substr(0, space), line.substr(space + 1));
  }

  [[gnu::cold]] bpe_parts finish(bpe_rules const& rules) && {
    bpe_parts out;
    out.rules = rules;
    out.merges = std::move(merges_);
    out.findable.assign(contents_.size(), true);
    if (rules.byte_level) {
      for (std::size_t i = 0; i < contents_.size(); ++i) {
        auto bytes = byte_alphabet::get().bytes(contents_[i]);
        if (bytes) {
          contents_[i] = std::move(*bytes);
        } else {
          out.findable[i] = false;  // no text gives it: its characters stand for no bytes
        }
      }
    }
    out.tokens = std::move(contents_);
    return out;
  }

 private:
  std::string where_;
  std::vector<std::string> contents_;
  token_table table_;
  std::vector<bpe_merge> merges_;
  std::string scratch_;
};

}  // namespace loopserve::detail
