// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include <loopserve/core/rng.hpp>
#include <loopserve/model/load_weights.hpp>
#include <loopserve/model/model_files.hpp>

#include "broken/refusal.hpp"
#include "model/temporary_folder.hpp"

using namespace loopserve;
using nlohmann::json;

namespace {

std::string const good_folder = std::string(LOOPSERVE_SOURCE_DIR) + "/tests/data/shapes/qwen2-window";
json const good = json::parse(read_file(good_folder + "/config.json"));

/// What loading a folder with this config.json says.
std::string loading(std::string const& config) {
  static temporary_folder const folder;
  std::filesystem::copy_file(good_folder + "/model.safetensors", folder.file("model.safetensors"), std::filesystem::copy_options::overwrite_existing);
  folder.write("config.json", config);
  largest_allocation = 0;
  auto const said = refusal([&] { load_weights(*model_files::open(folder.path())); });
  CHECK(largest_allocation < (1 << 20));
  if (said != "accepted") { CHECK(complete(said, folder.path())); }
  return said;
}

std::string with(char const* key, json value) {
  auto config = good;
  if (std::string(key) == "rope_scaling") { config.erase("rope_parameters"); }
  config[key] = std::move(value);
  return loading(config.dump());
}

std::string without(char const* key) {
  auto config = good;
  config.erase(key);
  return loading(config.dump());
}

}  // namespace

TEST_CASE("a configuration that lacks a number, or has an absurd one, is refused by name") {
  CHECK(loading(good.dump()) == "accepted");
  for (char const* key : {"model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size", "max_position_embeddings"}) {
    CHECK(contains(without(key), "config.json: '" + std::string(key) + "': expected a value, found none"));
  }
  for (char const* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"}) {
    for (auto const& [bad, shown] : std::vector<std::pair<json, std::string>>{{0, "0"}, {-4, "-4"}, {1.5, "1.5"}, {"64", "\"64\""}, {true, "true"}, {1e30, "1e30"},
                                                                             {std::uint64_t{1} << 63, "9.2233720368547"}, {json::array({1}), "[1]"}}) {
      auto const said = with(key, bad);
      CHECK(contains(said, "config.json: '" + std::string(key) + "': expected a whole number from 1 to "));
      CHECK(contains(said, ", found " + shown));
    }
  }
  CHECK(contains(with("num_key_value_heads", 3), "expected a divisor of num_attention_heads = 4, found 3"));
  CHECK(contains(with("head_dim", 7), "'head_dim': expected an even number, found 7"));
  CHECK(contains(with("rms_norm_eps", 0), "'rms_norm_eps': expected a number above 0, found 0"));
}

TEST_CASE("what cannot be honoured is refused by name") {
  CHECK(contains(with("model_type", "gpt2"), "'model_type': expected llama, mistral, qwen2 or qwen3, found \"gpt2\""));
  CHECK(contains(with("hidden_act", "gelu"), "'hidden_act': expected silu, found \"gelu\""));
  CHECK(contains(with("mlp_bias", true), "'mlp_bias': expected false, found true"));
  CHECK(contains(with("quantization_config", {{"bits", 4}}), "'quantization_config': expected weights in f32, f16 or bf16"));
  CHECK(contains(with("partial_rotary_factor", 0.5), "'partial_rotary_factor': expected 1, found 0.5"));
  CHECK(contains(with("rope_scaling", json::object({{"type", "dynamic"}, {"factor", 2.0}})), "'rope_scaling.type': expected default, linear, llama3 or yarn, found \"dynamic\""));
  CHECK(contains(with("rope_parameters", json::object({{"rope_type", "longrope"}})), "'rope_parameters.rope_type': expected default, linear, llama3 or yarn, found \"longrope\""));
  CHECK(contains(with("rope_scaling", json::object({{"type", "linear"}})), "'rope_scaling.factor': expected a value, found none"));
  CHECK(contains(with("rope_scaling", json::object({{"type", "linear"}, {"factor", -1}})), "'rope_scaling.factor': expected a number above 0, found -1"));
  CHECK(contains(with("rope_scaling", json::object({{"type", "llama3"}, {"factor", 8}})), "'rope_scaling.low_freq_factor': expected a value, found none"));
  CHECK(contains(with("rope_scaling", "linear"), "'rope_scaling': expected a JSON object, found string"));
  CHECK(contains(with("layer_types", {"full_attention"}), "'layer_types': expected a type for each of the"));
  auto const layers = good["num_hidden_layers"].get<std::size_t>();
  CHECK(contains(with("layer_types", std::vector<std::string>(layers, "chunked_attention")), "expected full_attention or sliding_attention"));
  CHECK(contains(with("sliding_window", 0), "'sliding_window': expected a whole number from 1"));
  CHECK(contains(with("eos_token_id", {1, "2"}), "'eos_token_id': expected token ids"));
}

TEST_CASE("a configuration that speaks of other weights than the file has") {
  CHECK(contains(with("vocab_size", good["vocab_size"].get<int>() + 1), "model.safetensors: tensor 'model.embed_tokens.weight': expected ("));
  CHECK(contains(with("num_hidden_layers", 4000), "no such tensor"));
  CHECK(contains(with("intermediate_size", 1 << 20), "mlp.gate_proj.weight': expected (1048576, 32), found ("));
  CHECK(contains(with("model_type", "qwen3"), "self_attn.q_norm.weight': expected (8), found no such tensor"));
}

TEST_CASE("config.json that is no JSON") {
  auto const text = good.dump();
  for (std::size_t n = 0; n < text.size(); ++n) { CHECK(complete(loading(text.substr(0, n)), "config.json")); }
  CHECK(contains(loading("[]"), "config.json: its content: expected a JSON object, found array"));
  CHECK(contains(loading(replaced(text, "silu", "\xff\xfe")), "expected JSON in UTF-8"));
  CHECK(contains(loading(replaced(text, "{", R"({"vocab_size":1,)")), "expected every key of an object once, found a fault: duplicate object key near '\"vocab_size\"'"));
  CHECK(contains(loading(std::string(100000, '[')), "maximum parsing depth reached"));
  counter_rng const draw{3};
  for (std::uint64_t i = 0; i < 500; ++i) {
    auto bytes = text;
    auto const bit = draw.below(i, 8 * text.size());
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    loading(bytes);
  }
}

TEST_CASE("a folder without a model says what it looked for") {
  temporary_folder const folder;
  CHECK(contains(refusal([&] { model_files::open(folder.path()); }), "expected config.json or one .gguf file, found 0 .gguf files and no config.json"));
  folder.copy(good_folder + "/config.json");
  CHECK(contains(refusal([&] { model_files::open(folder.path()); }), "the weights: expected model.safetensors or model.safetensors.index.json, found neither"));
  CHECK(contains(refusal([&] { model_files::open(folder.file("none")); }), "expected a file that can be read, found No such file or directory"));
}
