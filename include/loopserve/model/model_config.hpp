// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/core/ids.hpp>
#include <loopserve/model/json_file.hpp>
#include <loopserve/model/model.hpp>
#include <loopserve/model/rope_settings.hpp>

namespace loopserve {

/// What sets the families of decoders apart, as data.
struct model_family {
  char const* name;
  bool qkv_bias;           ///< always, where others have it by `attention_bias` (then on the output product too)
  bool qk_norm;            ///< RMSNorm of query and key heads before RoPE
  int head_dim;            ///< where the files do not say; 0: width / heads
  bool kv_heads_optional;  ///< absent means as many as query heads
  bool window_by_switch;   ///< `use_sliding_window` switches it on, for the layers from `max_window_layers` on or by `layer_types`
  int window;              ///< where the files do not say
};

/// Null for a family that is not known. The defaults are those of Hugging Face's configuration classes.
inline model_family const* find_model_family(std::string const& name) {
  static constexpr std::array<model_family, 4> families = {{
      {"llama", false, false, 0, true, false, 0},
      {"mistral", false, false, 0, false, false, 4096},
      {"qwen2", true, false, 0, false, true, 4096},
      {"qwen3", false, true, 128, false, true, 4096},
  }};
  for (auto const& family : families) {
    if (name == family.name) { return &family; }
  }
  return nullptr;
}

/// A decoder as its files describe it, whatever their format.
struct model_config {
  std::string family;
  model_shape shape;
  double norm_eps = 1e-6;
  rope_settings rope;
  bool qkv_bias = false;
  bool output_bias = false;
  bool qk_norm = false;
  bool tied_head = false;
  std::vector<int> windows;        ///< (layers) sliding window in tokens, 0 for none
  std::vector<token_id> eos_ids;   ///< any of them ends an answer; of generation_config.json where it has them, else of config.json
  std::optional<token_id> bos_id;
  std::string stored_type;         ///< as the files name it, for people; the tensors decide
};

namespace detail {

/// rope_scaling (older files) or rope_parameters (transformers 5). Other types than default, linear, llama3, yarn are refused by name.
inline rope_settings read_rope(json_file const& config, double max_context) {
  rope_settings rope;
  if (config.number_or("partial_rotary_factor", 1) != 1) { config.wrong("partial_rotary_factor", "1"); }
  if (config.has("rope_theta")) { rope.theta = config.positive("rope_theta"); }
  auto const* const key = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!config.has(key)) { return rope; }
  auto const s = config.object(key);
  if (s.has("rope_theta")) { rope.theta = s.positive("rope_theta"); }
  if (s.number_or("partial_rotary_factor", 1) != 1) { s.wrong("partial_rotary_factor", "1"); }
  auto const* const type_key = s.has("rope_type") ? "rope_type" : "type";
  auto const type = s.string_or(type_key, "default");
  if (type == "default") { return rope; }
  rope.kind = type == "linear" ? rope_scaling::linear : type == "llama3" ? rope_scaling::llama3 : type == "yarn" ? rope_scaling::yarn : rope_scaling::none;
  if (rope.kind == rope_scaling::none) { s.wrong(type_key, "default, linear, llama3 or yarn"); }
  rope.original_context = s.has("original_max_position_embeddings") ? s.positive("original_max_position_embeddings")
                          : config.has("original_max_position_embeddings") ? config.positive("original_max_position_embeddings")
                                                                           : max_context;
  rope.factor = s.has("factor") || rope.kind != rope_scaling::yarn ? s.positive("factor") : max_context / rope.original_context;
  if (rope.kind == rope_scaling::llama3) {
    rope.low_freq_factor = s.positive("low_freq_factor");
    rope.high_freq_factor = s.positive("high_freq_factor");
    if (!(rope.high_freq_factor > rope.low_freq_factor)) { s.wrong("high_freq_factor", "a number above low_freq_factor"); }
  }
  if (rope.kind == rope_scaling::yarn) {
    rope.beta_fast = s.has("beta_fast") ? s.positive("beta_fast") : 32;
    rope.beta_slow = s.has("beta_slow") ? s.positive("beta_slow") : 1;
    rope.truncate = s.boolean_or("truncate", true);
    double const m = s.number_or("mscale", 0);
    double const all = s.number_or("mscale_all_dim", 0);
    rope.scale = s.has("attention_factor") ? s.positive("attention_factor")
                 : m != 0 && all != 0      ? yarn_attention_factor(rope.factor, m) / yarn_attention_factor(rope.factor, all)
                                           : yarn_attention_factor(rope.factor);
  }
  return rope;
}

inline std::vector<int> read_windows(json_file const& config, model_family const& family, int layers) {
  std::vector<int> windows(static_cast<std::size_t>(layers), 0);
  if (family.window == 0 || (family.window_by_switch && !config.boolean_or("use_sliding_window", false))) { return windows; }
  // null means none; a file that does not speak of it has the family's own.
  bool const silent = !config.value().has("sliding_window");
  if (!silent && !config.has("sliding_window")) { return windows; }
  int const window = silent ? family.window : static_cast<int>(config.integer("sliding_window", 1));
  int const first = family.window_by_switch ? config.has("max_window_layers") ? static_cast<int>(config.integer("max_window_layers", 0)) : 28 : 0;
  for (int l = 0; l < layers; ++l) { windows[static_cast<std::size_t>(l)] = l >= first ? window : 0; }
  if (config.has("layer_types")) {
    auto const types = config.at("layer_types").items();
    if (types.size() != windows.size()) { config.wrong("layer_types", "a type for each of the " + std::to_string(layers) + " layers"); }
    for (std::size_t l = 0; l < windows.size(); ++l) {
      auto const& type = types[l];
      if (!type.is_text("full_attention") && !type.is_text("sliding_attention")) { config.wrong("layer_types", "full_attention or sliding_attention"); }
      windows[l] = type.is_text("sliding_attention") ? window : 0;
    }
  }
  return windows;
}

/// A token id, or a list of them.
inline std::vector<token_id> read_ids(json_file const& config, std::string_view key) {
  std::vector<token_id> ids;
  if (!config.has(key)) { return ids; }
  auto const value = config.at(key);
  if (value.is_array()) {
    for (auto const& one : value.items()) {
      auto const id = one.integer();
      if (!id || *id < 0 || *id > std::numeric_limits<std::int32_t>::max()) { config.wrong(key, "token ids"); }
      ids.push_back(token_id{static_cast<std::int32_t>(*id)});
    }
  } else {
    ids.push_back(token_id{static_cast<std::int32_t>(config.integer(key, 0))});
  }
  return ids;
}

}  // namespace detail

/// Reads config.json of a Hugging Face folder; `generation` is its generation_config.json where it has one. Throws format_error for a family or a setting
/// that cannot be honoured, by name.
inline model_config read_model_config(json_file const& config, json_file const* generation = nullptr) {
  model_config out;
  out.family = config.string("model_type");
  auto const* const family = find_model_family(out.family);
  if (family == nullptr) { config.wrong("model_type", "llama, mistral, qwen2 or qwen3"); }
  auto const count = [&](char const* key, int most) { return static_cast<int>(config.integer(key, 1, most)); };
  auto& shape = out.shape;
  shape.layers = count("num_hidden_layers", 4096);
  shape.width = count("hidden_size", 1 << 20);
  shape.heads = count("num_attention_heads", 1 << 16);
  shape.feed_forward = count("intermediate_size", 1 << 24);
  shape.vocabulary = count("vocab_size", 1 << 26);
  shape.max_context = count("max_position_embeddings", std::numeric_limits<std::int32_t>::max());
  shape.kv_heads = config.has("num_key_value_heads") || !family->kv_heads_optional ? count("num_key_value_heads", 1 << 16) : shape.heads;
  if (shape.heads % shape.kv_heads != 0) { config.wrong("num_key_value_heads", "a divisor of num_attention_heads = " + std::to_string(shape.heads)); }
  if (config.has("head_dim")) {
    shape.head_dim = count("head_dim", 1 << 14);
  } else if (family->head_dim > 0) {
    shape.head_dim = family->head_dim;
  } else {
    if (shape.width % shape.heads != 0) { config.wrong("num_attention_heads", "a divisor of hidden_size = " + std::to_string(shape.width) + ", or a head_dim"); }
    shape.head_dim = shape.width / shape.heads;
  }
  if (shape.head_dim % 2 != 0) { config.wrong("head_dim", "an even number"); }
  if (config.string_or("hidden_act", "silu") != "silu") { config.wrong("hidden_act", "silu"); }
  if (config.boolean_or("mlp_bias", false)) { config.wrong("mlp_bias", "false"); }
  if (config.has("quantization_config")) { config.wrong("quantization_config", "weights in f32, f16 or bf16"); }
  out.norm_eps = config.has("rms_norm_eps") ? config.positive("rms_norm_eps") : 1e-6;
  out.rope = detail::read_rope(config, shape.max_context);
  out.output_bias = !family->qkv_bias && config.boolean_or("attention_bias", false);
  out.qkv_bias = family->qkv_bias || out.output_bias;
  out.qk_norm = family->qk_norm;
  out.tied_head = config.boolean_or("tie_word_embeddings", false);
  out.windows = detail::read_windows(config, *family, shape.layers);
  if (generation != nullptr) { out.eos_ids = detail::read_ids(*generation, "eos_token_id"); }
  if (out.eos_ids.empty()) { out.eos_ids = detail::read_ids(config, "eos_token_id"); }
  if (config.has("bos_token_id")) { out.bos_id = token_id{static_cast<std::int32_t>(config.integer("bos_token_id", 0))}; }
  out.stored_type = config.string_or("torch_dtype", config.string_or("dtype", ""));
  return out;
}

}  // namespace loopserve
