// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/model/text/chat_template.hpp>
#include <loopserve/model/text/tokenizer.hpp>
#include <loopserve/model/text/tokenizer_gguf.hpp>

namespace loopserve {

/// How a model's text becomes tokens, and which tokens end an answer.
struct loaded_text {
  tokenizer words;
  chat_template chat;
  std::vector<token_id> stop_tokens;

  std::vector<token_id> encode(std::span<chat_message const> messages) const {
    auto const fresh = words.encode(chat.render(messages, true));
    if (!chat.is_plain()) { return fresh; }
    auto tokens = words.initial_tokens();
    tokens.insert(tokens.end(), fresh.begin(), fresh.end());
    return tokens;
  }
};

/// Reads them from the model's own files; `render`, where given, replaces the chat template. Throws format_error where the tokenizer has tokens that the model
/// lacks.
inline loaded_text load_text(model_files const& files, chat_template::callback render) {
  auto words = files.gguf() != nullptr ? tokenizer::from_gguf(*files.gguf()) : tokenizer::from_folder(files.folder());
  // A larger model is common (padding); a larger tokenizer belongs to another model.
  if (int const last = words.size() - 1; last >= files.shape().vocabulary) {
    bad_file(files.path(), "the tokenizer", "ids below the model's vocabulary of " + std::to_string(files.shape().vocabulary),
             std::to_string(last) + " " + in_quotes(words.bytes(token_id{last})));
  }
  auto chat = render ? chat_template(std::move(render)) : chat_template::from_model(files);
  auto stop_tokens = files.config().eos_ids;
  for (auto const& text : chat.stop_strings()) {
    if (auto const id = words.find(text); id && std::find(stop_tokens.begin(), stop_tokens.end(), *id) == stop_tokens.end()) { stop_tokens.push_back(*id); }
  }
  return {std::move(words), std::move(chat), std::move(stop_tokens)};
}

}  // namespace loopserve
