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
    auto const at = [&, prefix = "model.layers." + std::to_string(l) + "."](char const* name) { return prefix + name; };
    layer_weights w;
    w.attention_norm = files.vector(at("input_layernorm.weight"), width);
    w.q = files.matrix(at("self_attn.q_proj.weight"), q_width, width);
    w.k = files.matrix(at("self_attn.k_proj.weight"), kv_width, width);
    w.v = files.matrix(at("self_attn.v_proj.weight"), kv_width, width);
    w.o = files.matrix(at("self_attn.o_proj.weight"), width, q_width);
    if (config.qkv_bias) {
      w.q_bias = files.vector(at("self_attn.q_proj.bias"), q_width);
      w.k_bias = files.vector(at("self_attn.k_proj.bias"), kv_width);
      w.v_bias = files.vector(at("self_attn.v_proj.bias"), kv_width);
    }
    if (config.output_bias) { w.o_bias = files.vector(at("self_attn.o_proj.bias"), width); }
    if (config.qk_norm) {
      w.q_norm = files.vector(at("self_attn.q_norm.weight"), s.head_dim);
      w.k_norm = files.vector(at("self_attn.k_norm.weight"), s.head_dim);
    }
    w.feed_forward_norm = files.vector(at("post_attention_layernorm.weight"), width);
    w.gate = files.matrix(at("mlp.gate_proj.weight"), s.feed_forward, width);
    w.up = files.matrix(at("mlp.up_proj.weight"), s.feed_forward, width);
    w.down = files.matrix(at("mlp.down_proj.weight"), width, s.feed_forward);
    out.layers.push_back(std::move(w));
  }
  if (finite) { check_finite(files.tensors()); }
  out.keeper = files.keeper();
  return out;
}

}  // namespace loopserve
