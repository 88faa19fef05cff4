// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <loopserve/model/text/text_stream.hpp>

#include "text_vectors.hpp"

using namespace loopserve;
using namespace text_test;

namespace {

std::filesystem::path folder_of(std::string const& name) {
  if (name == "demo-model") { return std::filesystem::path(LOOPSERVE_SOURCE_DIR) / "assets/demo-model"; }
  return material(name == "stories260K" ? "models" : "tokenizers") / name;
}

std::string ids_text(nlohmann::json const& ids) {
  std::string out;
  for (auto const& id : ids) { out += (out.empty() ? "" : " ") + std::to_string(id.get<int>()); }
  return out;
}

/// CRC-32 (ISO 3309, as zlib computes it) of the ids as little-endian 32-bit numbers.
std::uint32_t crc32(std::vector<token_id> const& ids) {
  std::uint32_t crc = ~0U;
  for (auto id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      crc ^= (static_cast<std::uint32_t>(raw(id)) >> shift) & 0xffU;
      for (int bit = 0; bit < 8; ++bit) { crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xedb88320U : 0U); }
    }
  }
  return ~crc;
}

std::string streamed(tokenizer const& t, std::vector<token_id> const& ids, bool skip_special) {
  text_stream stream(t, skip_special);
  std::string out;
  for (auto id : ids) {
    auto const piece = stream.push(id);
    CHECK(detail::valid_utf8_end(piece, 0) == piece.size());
    out += piece;
  }
  return out += stream.flush();
}

}  // namespace

TEST_CASE("ids are those of Hugging Face's tokenizers") {
  auto const file = nlohmann::json::parse(read(std::filesystem::path(LOOPSERVE_SOURCE_DIR) / "tests/data/tokenizer_ids.json"));
  for (auto const& [name, expected] : file["tokenizers"].items()) {
    if (!std::filesystem::exists(folder_of(name))) {
      std::printf("skipped: no material for %s\n", name.c_str());
      continue;
    }
    auto const t = tokenizer::from_folder(folder_of(name));
    for (std::size_t i = 0; i < file["texts"].size(); ++i) {
      auto const text = file["texts"][i].get<std::string>();
      INFO(name, " text ", i, ": ", text);
      CHECK(joined(t.encode(text)) == ids_text(expected["text"][i]));
      auto const& control = expected["control"][i];
      std::vector<text_piece> const pieces = {{text, true}};
      auto const ids = t.encode(pieces);
      CHECK(joined(ids) == ids_text(control.is_null() ? expected["text"][i] : control));
      auto const& decoded = expected["decoded"][i];
      auto const expected_text = decoded.is_null() ? text : decoded.get<std::string>();
      CHECK(t.decode(ids, false) == expected_text);
      CHECK(streamed(t, ids, false) == expected_text);
    }
    for (auto const& [document, sum] : expected["documents"].items()) {
      if (!have_material()) { continue; }
      INFO(name, " ", document);
      auto const ids = t.encode(read(material(document.c_str())));
      CHECK(ids.size() == sum["count"].get<std::size_t>());
      CHECK(crc32(ids) == sum["crc32"].get<std::uint32_t>());
    }
  }
}
