// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/model/text/text_piece.hpp>

namespace loopserve {

/// Renders a conversation as the model was trained to read it.
class chat_template {
 public:
  using callback = std::function<std::vector<text_piece>(std::span<chat_message const>, bool add_generation_prompt)>;

  explicit chat_template(callback render) : render_(std::move(render)) {}

  /// Throws format_error where the model's template is none that is known; then give a callback.
  static chat_template from_model(model_files const& files) {
    auto const source = files.chat_template();
    if (source.find("<|im_start|>") == std::string::npos) {
      throw format_error(files.path() + ": chat template: expected ChatML, found another one; give engine_options::render a callback or use text mode");
    }
    return chat_template(chatml);
  }

  std::vector<text_piece> render(std::span<chat_message const> messages, bool add_generation_prompt) const { return render_(messages, add_generation_prompt); }

  /// Control tokens that end an answer beside the model's own end-of-text.
  std::vector<std::string> stop_strings() const { return {"<|im_end|>"}; }

 private:
  static std::vector<text_piece> chatml(std::span<chat_message const> messages, bool add_generation_prompt) {
    std::vector<text_piece> pieces;
    for (auto const& m : messages) {
      pieces.push_back({"<|im_start|>" + m.role + "\n", true, {}});
      pieces.push_back({m.content, false, m.ids});
      pieces.push_back({"<|im_end|>\n", true, {}});
    }
    if (add_generation_prompt) { pieces.push_back({"<|im_start|>assistant\n", true, {}}); }
    return pieces;
  }

  callback render_;
};

}  // namespace loopserve
