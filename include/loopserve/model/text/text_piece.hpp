// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <loopserve/core/ids.hpp>

namespace loopserve {

/// A stretch of text on its way to a tokenizer. In `control` text (what a chat template writes) the strings of special tokens become those tokens; in any
/// other text (what a user wrote) they are text like any other. Neighbouring pieces are one text to the tokenizer: where they meet, words may join.
/// A piece that carries `ids` stands for exactly these tokens and its text is not looked at (an answer keeps the tokens it was generated as).
struct text_piece {
  std::string text;
  bool control = false;
  std::vector<token_id> ids = {};
};

/// A message of a conversation. `ids`, where not empty, are the tokens the content was generated as.
struct chat_message {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
  std::vector<token_id> ids = {};
};

}  // namespace loopserve
