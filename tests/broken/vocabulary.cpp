// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <string>

#include <nlohmann/json.hpp>

#include <loopserve/serve/loaded_text.hpp>

#include "broken/refusal.hpp"
#include "model/temporary_folder.hpp"

using namespace loopserve;

namespace {

std::string const demo = std::string(LOOPSERVE_SOURCE_DIR) + "/assets/demo-model";

/// What the demo model's text says where its tokenizer has one more token, with this id; "accepted" where it is not refused.
std::string with_token(int id) {
  temporary_folder const folder;
  for (char const* name : {"config.json", "model.safetensors", "tokenizer_config.json"}) { folder.copy(demo + "/" + name); }
  auto words = nlohmann::json::parse(read_file(demo + "/tokenizer.json"));
  words["added_tokens"].push_back({{"id", id}, {"content", "<another>"}, {"special", true}});
  folder.write("tokenizer.json", words.dump());
  auto const said = refusal([&] { load_text(*model_files::open(folder.path()), {}); });
  if (said != "accepted") { CHECK(complete(said, folder.path())); }
  return said;
}

}  // namespace

TEST_CASE("a tokenizer with tokens that the model lacks is refused, and the token is named") {
  CHECK(contains(with_token(1024), "the tokenizer: expected ids below the model's vocabulary of 1024, found 1024 '<another>'"));
}

TEST_CASE("a tokenizer that fills the model's vocabulary or less is accepted") { CHECK(with_token(1000) == "accepted"); }
