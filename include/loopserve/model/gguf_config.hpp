// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <loopserve/model/gguf.hpp>
#include <loopserve/model/model_config.hpp>

namespace loopserve {

namespace detail {

/// A whole number of [1, most] under `key`; some files store one per layer, which must then agree.
inline int gguf_count(gguf const& file, std::string_view key, std::int64_t most) {
  std::int64_t value = 0;
  if (file.value(key).type == gguf_type::array) {
    auto const list = file.integers(key);
    if (list.empty()) { file.wrong(key, "a number", "an empty array"); }
    for (auto one : list) {
      if (one != list[0]) { file.wrong(key, "the same number for all layers", "different ones"); }
    }
    value = list[0];
  } else {
    value = file.integer(key);
  }
  if (value < 1 || value > most) { file.wrong(key, "a number from 1 to " + std::to_string(most), std::to_string(value)); }
  return static_cast<int>(value);
}

inline double gguf_positive(gguf const& file, std::string_view key, double otherwise) {
  auto const value = file.number_or(key, otherwise);
  if (!(value > 0) || !(value < std::numeric_limits<double>::infinity())) {
    file.wrong(key, "a number above 0", std::to_string(value));
  }
  return value;
}

inline rope_settings gguf_rope(gguf const& file, std::string const& arch, model_shape const& shape) {
  rope_settings rope;
  auto const key = [&](char const* name) { return arch + ".rope." + name; };
  if (auto const rotated = file.integer_or(key("dimension_count"), shape.head_dim); rotated != shape.head_dim) {
    file.wrong(key("dimension_count"), "all of the head's " + std::to_string(shape.head_dim) + " channels", std::to_string(rotated));
  }
  rope.interleaved = arch == "llama";
  rope.theta = gguf_positive(file, key("freq_base"), 10000);
  auto const type = std::string(file.string_or(key("scaling.type"), file.has(key("scale_linear")) ? "linear" : "none"));
  rope.factor = gguf_positive(file, key("scaling.factor"), gguf_positive(file, key("scale_linear"), 1));
  if (type == "linear") {
    rope.kind = rope_scaling::linear;
  } else if (type == "yarn") {
    rope.kind = rope_scaling::yarn;
    rope.original_context = gguf_positive(file, key("scaling.original_context_length"), shape.max_context);
    rope.beta_fast = gguf_positive(file, key("scaling.yarn_beta_fast"), 32);
    rope.beta_slow = gguf_positive(file, key("scaling.yarn_beta_slow"), 1);
    rope.scale = gguf_positive(file, key("scaling.attn_factor"), gguf_positive(file, key("scaling.yarn_attn_factor"), 1)) * yarn_attention_factor(rope.factor);
  } else if (type != "none") {
    file.wrong(key("scaling.type"), "none, linear or yarn", in_quotes(type));
  }
  if (auto const* divisors = file.find_tensor("rope_freqs.weight")) {
    if (divisors->type != element_type::f32 || divisors->shape != std::vector<index_t>{shape.head_dim / 2}) {
      bad_file(file.file(), "tensor 'rope_freqs.weight'", "f32 (" + std::to_string(shape.head_dim / 2) + ")", divisors->type_name + " " + shape_text(divisors->shape));
    }
    auto const* p = reinterpret_cast<float const*>(divisors->data);
    rope.divisors.assign(p, p + shape.head_dim / 2);
    for (float d : rope.divisors) {
      if (!(d > 0)) { bad_file(file.file(), "tensor 'rope_freqs.weight'", "numbers above 0", std::to_string(d)); }
    }
  }
  return rope;
}

}  // namespace detail

/// The same configuration from a GGUF file's metadata; architectures llama (also Mistral's, which ship as such), qwen2, qwen3.
inline model_config read_model_config(gguf const& file) {
  model_config out;
  out.family = std::string(file.string("general.architecture"));
  auto const& arch = out.family;
  auto const* const family = arch == "mistral" ? nullptr : find_model_family(arch);
  if (family == nullptr) { file.wrong("general.architecture", "llama, qwen2 or qwen3", in_quotes(arch)); }
  auto const key = [&](char const* name) { return arch + "." + name; };
  auto const count = [&](char const* name, std::int64_t most) { return detail::gguf_count(file, key(name), most); };
  if (file.integer_or(key("expert_count"), 0) != 0) { file.wrong(key("expert_count"), "0", "a mixture of experts"); }
  auto& shape = out.shape;
  shape.layers = count("block_count", 4096);
  shape.width = count("embedding_length", 1 << 20);
  shape.heads = count("attention.head_count", 1 << 16);
  shape.feed_forward = count("feed_forward_length", 1 << 24);
  shape.max_context = count("context_length", std::numeric_limits<std::int32_t>::max());
  shape.kv_heads = file.has(key("attention.head_count_kv")) ? count("attention.head_count_kv", 1 << 16) : shape.heads;
  if (shape.heads % shape.kv_heads != 0) {
    file.wrong(key("attention.head_count_kv"), "a divisor of " + std::to_string(shape.heads), std::to_string(shape.kv_heads));
  }
  if (file.has(key("attention.key_length"))) {
    shape.head_dim = count("attention.key_length", 1 << 14);
  } else {
    if (shape.width % shape.heads != 0) {
      file.wrong(key("attention.head_count"), "a divisor of " + std::to_string(shape.width), std::to_string(shape.heads));
    }
    shape.head_dim = shape.width / shape.heads;
  }
  if (shape.head_dim % 2 != 0) { bad_file(file.file(), "the head's size", "an even number", std::to_string(shape.head_dim)); }
  if (file.has(key("attention.value_length")) && count("attention.value_length", 1 << 14) != shape.head_dim) {
    file.wrong(key("attention.value_length"), "the keys' " + std::to_string(shape.head_dim),
             std::to_string(file.integer(key("attention.value_length"))));
  }
  auto const* const embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2 || embedding->shape[0] < 1 || embedding->shape[0] > (1 << 26)) {
    bad_file(file.file(), "tensor 'token_embd.weight'", "(vocabulary, " + std::to_string(shape.width) + ")",
             embedding == nullptr ? "no such tensor: the file holds a vocabulary without a model" : shape_text(embedding->shape));
  }
  shape.vocabulary = static_cast<int>(embedding->shape[0]);
  out.norm_eps = detail::gguf_positive(file, key("attention.layer_norm_rms_epsilon"), 1e-6);
  out.rope = detail::gguf_rope(file, arch, shape);
  out.qkv_bias = family->qkv_bias || file.find_tensor("blk.0.attn_q.bias") != nullptr;
  out.output_bias = file.find_tensor("blk.0.attn_output.bias") != nullptr;
  out.qk_norm = family->qk_norm;
  out.tied_head = file.find_tensor("output.weight") == nullptr;
  auto const window = file.has(key("attention.sliding_window")) ? file.integer(key("attention.sliding_window")) : 0;
  if (window < 0 || window > std::numeric_limits<std::int32_t>::max()) {
    file.wrong(key("attention.sliding_window"), "a window in tokens", std::to_string(window));
  }
  out.windows.assign(static_cast<std::size_t>(shape.layers), static_cast<int>(window));
  for (char const* name : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    auto const id = file.integer_or(name, -1);
    if (id >= 0 && id < shape.vocabulary && (out.eos_ids.empty() || out.eos_ids[0] != token_id{static_cast<std::int32_t>(id)})) {
      out.eos_ids.push_back(token_id{static_cast<std::int32_t>(id)});
    }
  }
  if (auto const id = file.integer_or("tokenizer.ggml.bos_token_id", -1); id >= 0 && id < shape.vocabulary) {
    out.bos_id = token_id{static_cast<std::int32_t>(id)};
  }
  out.stored_type = embedding->type_name;
  return out;
}

}  // namespace loopserve
