// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iostream>
#include <string>

#include <loopserve/core/error.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/model/text/chat_template.hpp>

namespace chat {

/// Looks at the model's chat template before anything is loaded. Throws where it cannot be rendered, and names this program's remedy; says so on standard
/// error where there is none.
inline void look_at_template(loopserve::model_files const& files) {
  try {
    if (!loopserve::chat_template::from_model(files).is_plain()) { return; }
  } catch (loopserve::format_error const& e) {
    throw loopserve::format_error(std::string(e.what()) + "; in this program --raw reads and writes plain text instead");
  }
  std::cerr << "loopserve-chat: " << files.path() << " has no chat template: texts follow each other as they are, as with --raw" << std::endl;
}

}  // namespace chat
