// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <loopserve/model/model_config.hpp>
#include <loopserve/model/model_files.hpp>

#include "model/temporary_folder.hpp"

using namespace loopserve;
using nlohmann::json;

namespace {

json base(char const* family) {
  return {{"model_type", family},       {"hidden_size", 64},         {"num_hidden_layers", 4}, {"num_attention_heads", 4},       {"num_key_value_heads", 2},
          {"intermediate_size", 128}, {"vocab_size", 100}, {"rms_norm_eps", 1e-5}, {"max_position_embeddings", 4096}};
}

json_file file_of(json const& content, std::string const& name) { return json_file(parse_json(content.dump(), {.file = name}), name); }
model_config read(json const& config) { return read_model_config(file_of(config, "config.json")); }

json with(char const* family, json const& more) {
  auto config = base(family);
  config.update(more);
  return config;
}

}  // namespace

TEST_CASE("families differ in biases, norms and head sizes") {
  auto const llama = read(base("llama"));
  CHECK(llama.shape.head_dim == 16);
  CHECK_FALSE(llama.qkv_bias);
  CHECK_FALSE(llama.qk_norm);
  auto const biased = read(with("llama", {{"attention_bias", true}}));
  CHECK(biased.qkv_bias);
  CHECK(biased.output_bias);
  auto const qwen2 = read(base("qwen2"));
  CHECK(qwen2.qkv_bias);
  CHECK_FALSE(qwen2.output_bias);
  auto const qwen3 = read(base("qwen3"));
  CHECK(qwen3.qk_norm);
  CHECK(qwen3.shape.head_dim == 128);
  auto all_heads = base("llama");
  all_heads.erase("num_key_value_heads");
  CHECK(read(all_heads).shape.kv_heads == 4);
}

TEST_CASE("sliding windows by family, switch and layer") {
  using windows = std::vector<int>;
  CHECK(read(base("llama")).windows == windows{0, 0, 0, 0});
  CHECK(read(with("mistral", {{"sliding_window", 32}})).windows == windows{32, 32, 32, 32});
  CHECK(read(with("mistral", {{"sliding_window", nullptr}})).windows == windows{0, 0, 0, 0});
  CHECK(read(base("mistral")).windows == windows{4096, 4096, 4096, 4096});
  CHECK(read(with("qwen2", {{"sliding_window", 32}})).windows == windows{0, 0, 0, 0});
  CHECK(read(with("qwen2", {{"sliding_window", 32}, {"use_sliding_window", true}})).windows == windows{0, 0, 0, 0});
  CHECK(read(with("qwen2", {{"sliding_window", 32}, {"use_sliding_window", true}, {"max_window_layers", 3}})).windows == windows{0, 0, 0, 32});
  auto const by_type = json{{"sliding_window", 32}, {"use_sliding_window", true}, {"layer_types", {"sliding_attention", "full_attention", "full_attention", "sliding_attention"}}};
  CHECK(read(with("qwen3", by_type)).windows == windows{32, 0, 0, 32});
}

TEST_CASE("rope: old and new spelling, and the types") {
  CHECK(read(base("llama")).rope.theta == 10000);
  auto const parameters = read(with("qwen3", {{"rope_parameters", json::object({{"rope_theta", 1e6}, {"rope_type", "default"}})}}));
  CHECK(parameters.rope.theta == 1e6);
  CHECK(parameters.rope.kind == rope_scaling::none);
  auto const linear = read(with("llama", {{"rope_theta", 500.0}, {"rope_scaling", json::object({{"type", "linear"}, {"factor", 2.0}})}}));
  CHECK(linear.rope.kind == rope_scaling::linear);
  CHECK(linear.rope.theta == 500);
  auto const yarn = read(with("qwen2", {{"rope_scaling", json::object({{"type", "yarn"}, {"original_max_position_embeddings", 1024}})}}));
  CHECK(yarn.rope.factor == 4);  // 4096 / 1024
  CHECK(yarn.rope.scale == doctest::Approx(0.1 * std::log(4.0) + 1));
  auto const weighted = read(with("llama", {{"rope_scaling", json::object({{"rope_type", "yarn"}, {"factor", 4.0}, {"mscale", 2.0}, {"mscale_all_dim", 0.5}})}}));
  CHECK(weighted.rope.scale == doctest::Approx((0.2 * std::log(4.0) + 1) / (0.05 * std::log(4.0) + 1)));
  CHECK(weighted.rope.original_context == 4096);
}

TEST_CASE("end-of-sequence ids come from generation_config.json first") {
  auto const config = file_of(with("llama", {{"eos_token_id", 5}, {"bos_token_id", 1}}), "config.json");
  auto const plain = read_model_config(config);
  CHECK(plain.eos_ids == std::vector<token_id>{token_id{5}});
  CHECK(plain.bos_id == token_id{1});
  auto const generation = file_of(json{{"eos_token_id", {7, 8}}}, "generation_config.json");
  CHECK(read_model_config(config, &generation).eos_ids == std::vector<token_id>{token_id{7}, token_id{8}});
  auto const empty = file_of(json::object(), "generation_config.json");
  CHECK(read_model_config(config, &empty).eos_ids == plain.eos_ids);
}

TEST_CASE("the chat template's source is found where folders keep it") {
  temporary_folder const folder;
  for (auto const& entry : std::filesystem::directory_iterator(std::string(LOOPSERVE_SOURCE_DIR) + "/tests/data/shapes/llama-tiny")) { folder.copy(entry.path().string()); }
  auto const source = [&] { return model_files::open(folder.path())->chat_template(); };
  CHECK(source().empty());
  folder.write("tokenizer_config.json", json{{"chat_template", "one"}}.dump());
  CHECK(source() == "one");
  folder.write("tokenizer_config.json", json{{"chat_template", {{{"name", "tool_use"}, {"template", "x"}}, {{"name", "default"}, {"template", "two"}}}}}.dump());
  CHECK(source() == "two");
  folder.write("tokenizer_config.json", json{{"chat_template", 3}}.dump());
  CHECK_THROWS_AS(source(), format_error);
  folder.write("chat_template.jinja", std::string("three"));
  CHECK(source() == "three");
}

TEST_CASE("GGUF names of tensors") {
  CHECK(model_files::gguf_name("lm_head.weight") == "output.weight");
  CHECK(model_files::gguf_name("model.layers.11.self_attn.q_proj.bias") == "blk.11.attn_q.bias");
  CHECK(model_files::gguf_name("model.layers.0.post_attention_layernorm.weight") == "blk.0.ffn_norm.weight");
  CHECK(model_files::gguf_name("model.layers.0") == "");
  CHECK(model_files::gguf_name("model.layers.0.other.weight") == "");
}
