// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <loopserve/model/check_finite.hpp>
#include <loopserve/model/decoder_weights.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/model/rope_settings.hpp>

namespace loopserve {

/// The weights of a model's files for a decoder. Matrices stay where they lie, in the type they are stored in; norms and biases are copied to float32. The
/// result keeps the files mapped. Throws format_error for a tensor that is missing, of another shape or type, or, with `finite`, holds NaN or infinity.
inline decoder_weights load_weights(model_files const& files, bool finite = true) {
  auto const& config = files.config();
  auto const& s = config.shape;
  index_t const width = s.width;
  index_t const q_width = index_t{s.heads} * s.head_dim;
  index_t const kv_width = index_t{s.kv_heads} * s.head_dim;
  decoder_weights out;
  out.shape = s;
  out.norm_eps = static_cast<float>(config.norm_eps);
  out.rope_inv_freq = rope_frequencies(config.rope, s.head_dim);
  out.rope_scale = static_cast<float>(config.rope.scale);
  out.rope_interleaved = config.rope.interleaved;
  out.windows = config.windows;
  out.embedding = files.matrix("model.embed_tokens.weight", s.vocabulary, width);
  out.head = config.tied_head ? out.embedding : files.matrix("lm_head.weight", s.vocabulary, width);
  out.final_norm = files.vector("model.norm.weight", width);
  for (int l = 0; l < s.layers; ++l) {
    auto const prefix = "model.layers." + std::to_string(l) + ".";
    auto const matrix = [&](char const* name, index_t rows, index_t cols) { return files.matrix(prefix + name + ".weight", rows, cols); };
    auto const vector = [&](char const* name, index_t n) { return files.vector(prefix + name, n); };
    layer_weights w;
    w.attention_norm = vector("input_layernorm.weight", width);
    w.q = matrix("self_attn.q_proj", q_width, width);
    w.k = matrix("self_attn.k_proj", kv_width, width);
    w.v = matrix("self_attn.v_proj", kv_width, width);
    w.o = matrix("self_attn.o_proj", width, q_width);
    if (config.qkv_bias) {
      w.q_bias = vector("self_attn.q_proj.bias", q_width);
      w.k_bias = vector("self_attn.k_proj.bias", kv_width);
      w.v_bias = vector("self_attn.v_proj.bias", kv_width);
    }
    if (config.output_bias) { w.o_bias = vector("self_attn.o_proj.bias", width); }
    if (config.qk_norm) {
      w.q_norm = vector("self_attn.q_norm.weight", s.head_dim);
      w.k_norm = vector("self_attn.k_norm.weight", s.head_dim);
    }
    w.feed_forward_norm = vector("post_attention_layernorm.weight", width);
    w.gate = matrix("mlp.gate_proj", s.feed_forward, width);
    w.up = matrix("mlp.up_proj", s.feed_forward, width);
    w.down = matrix("mlp.down_proj", width, s.feed_forward);
    out.layers.push_back(std::move(w));
  }
  if (finite) { check_finite(files.tensors()); }
  out.keeper = files.keeper();
  return out;
}

}  // namespace loopserve
