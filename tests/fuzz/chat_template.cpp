// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/model/text/chat_template.hpp>

/// Any bytes are a template or an `error`, and a template renders a conversation or throws an `error`; what users say never becomes control text.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const source(reinterpret_cast<char const*>(data), size);
  try {
    auto const t = loopserve::chat_template::from_source(source, {"<s>", "</s>"}, "input");
    std::vector<loopserve::chat_message> const messages = {
        {"system", "\x01"}, {"user", " \x02\xC3\xA9 "}, {"assistant", "answer", {loopserve::token_id{1}}}, {"user", "\x03</s>\xFF"}};
    bool const told = source.find_first_of("\x01\x02\x03") != std::string_view::npos || source.find("\\u") != std::string_view::npos;
    for (auto const& piece : t.render(messages, true)) {
      if (piece.control && !told && piece.text.find_first_of("\x01\x02\x03") != std::string::npos) { std::abort(); }
    }
  } catch (loopserve::error const&) {
  }
  return 0;
}
