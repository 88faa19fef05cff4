// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/model/text/text_stream.hpp>
#include <loopserve/model/text/tokenizer.hpp>

/// Any bytes are a tokenizer or an `error`; a tokenizer takes any text, and a byte-level one gives it back.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const input(reinterpret_cast<char const*>(data), size);
  try {
    auto const t = loopserve::tokenizer::from_json(input, "input");
    std::string text = "Hello  w\xC3\xB6rld's 123\n\xFF\xE4\xB8\xAD <s> <|im_start|>";
    text += input.substr(0, 300);
    std::vector<loopserve::text_piece> const pieces = {{text, true}, {text, false}};
    auto const ids = t.encode(pieces);
    t.decode(ids, false);
    loopserve::text_stream stream(t);
    for (auto id : ids) {
      if (loopserve::raw(id) < 0 || loopserve::raw(id) >= t.size()) { std::abort(); }
      stream.push(id);
    }
    stream.flush();
  } catch (loopserve::error const&) {
  }
  return 0;
}
