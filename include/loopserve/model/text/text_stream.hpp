// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <loopserve/core/ids.hpp>
#include <loopserve/model/text/tokenizer.hpp>
#include <loopserve/model/text/utf8.hpp>

namespace loopserve {

/// Turns tokens into UTF-8 as they come. No piece ends inside a character; bytes that cannot become a character are U+FFFD, one for each maximal part of a
/// character, as soon as that is known. All pieces together are the tokens' decoded text. The tokenizer must outlive the stream.
class text_stream {
 public:
  /// `continues`: the tokens go on from an earlier text, so that a sentencepiece space at their beginning belongs to the text.
  explicit text_stream(tokenizer const& t, bool skip_special = true, bool continues = false)
      : tokenizer_(&t), skip_special_(skip_special), strip_(t.strips_first_space() && !continues) {}

  /// What is certain of the text after this token; may be empty.
  std::string push(token_id id) {
    if (skip_special_ && tokenizer_->is_special(id)) { return {}; }
    auto const before = held_.size();
    tokenizer_->append_text(id, held_);
    if (strip_ && held_.size() > before) {
      if (held_[0] == ' ') { held_.erase(0, 1); }
      strip_ = false;
    }
    return take(false);
  }

  /// What was held back, at the end of the text.
  std::string flush() { return take(true); }

 private:
  std::string take(bool all) {
    std::string out;
    std::size_t at = 0;
    while (at < held_.size()) {
      auto const end = detail::valid_utf8_end(held_, at);
      out.append(held_, at, end - at);
      at = end;
      if (at == held_.size()) { break; }
      auto const step = detail::step_utf8(held_, at);
      if (step.cut && !all) { break; }
      out += detail::replacement_character;
      at += static_cast<std::size_t>(step.length);
    }
    held_.erase(0, at);
    return out;
  }

  tokenizer const* tokenizer_;
  bool skip_special_;
  bool strip_;
  std::string held_;
};

}  // namespace loopserve
