// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/check_finite.hpp>
#include <loopserve/model/decoder_weights.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/model/rope_settings.hpp>

namespace loopserve {

namespace detail {

/// Hands out a model's tensors and remembers which: what a file has beyond them would silently not be computed with.
class weight_reader {
 public:
  explicit weight_reader(model_files const& files) : files_(&files) {}

  weight_view matrix(std::string const& name, index_t rows, index_t cols) {
    note(name);
    return files_->matrix(name, rows, cols);
  }

  std::vector<float> vector(std::string const& name, index_t n) {
    note(name);
    return files_->vector(name, n);
  }

  /// Throws format_error for the first tensor of the decoder's that was not asked for. `head` is what the decoder computes logits with.
  void refuse_others(weight_view const& head) const {
    auto const& config = files_->config();
    for (auto const& t : files_->tensors()) {
      if (read_.count(t.name) > 0 || !of_decoder(t.name) || harmless(t.name)) { continue; }
      auto const what = "tensor " + in_quotes(t.name);
      auto const found = t.type_name + " " + shape_text(t.shape);
      if (t.name == "lm_head.weight") {  // written by some although the head is tied: fine where it is the embedding
        bool const same = t.type == head.type && t.shape == std::vector<index_t>{head.rows, head.cols} && std::memcmp(t.data, head.data, static_cast<std::size_t>(t.bytes)) == 0;
        if (same) { continue; }
        bad_file(t.file, what, "none, or a copy of the embedding, as tie_word_embeddings says", found + " with other numbers");
      }
      bad_file(t.file, what, "only what a " + config.family + " decoder of " + std::to_string(config.shape.layers) + " layers computes with as its configuration has it", found);
    }
  }

 private:
  void note(std::string const& name) { read_.insert(files_->gguf() != nullptr ? model_files::gguf_name(name) : name); }

  static bool begins(std::string const& name, std::string_view with) { return name.compare(0, with.size(), with) == 0; }
  static bool ends(std::string const& name, std::string_view with) {
    return name.size() >= with.size() && name.compare(name.size() - with.size(), with.size(), with) == 0;
  }

  /// A GGUF file holds one decoder; a folder may hold other networks beside it.
  bool of_decoder(std::string const& name) const { return files_->gguf() != nullptr || begins(name, "model.") || begins(name, "lm_head."); }

  /// Tables of rotary frequencies, which follow from the configuration; a GGUF file's own divisors are read with it.
  bool harmless(std::string const& name) const {
    return files_->gguf() != nullptr ? name == "rope_freqs.weight" || ends(name, ".attn_rot_embd.weight") : ends(name, "rotary_emb.inv_freq");
  }

  model_files const* files_;
  std::set<std::string> read_;
};

}  // namespace detail

/// The weights of a model's files for a decoder. Matrices stay where they lie, in the type they are stored in; norms and biases are copied to float32. The
/// result keeps the files mapped. Throws format_error for a tensor that is missing, of another shape or type, that the decoder would leave out, or, with `finite`,
/// that holds NaN or infinity.
inline decoder_weights load_weights(model_files const& files, bool finite = true) {
  auto const& config = files.config();
  auto const& s = config.shape;
  index_t const width = s.width;
  index_t const q_width = index_t{s.heads} * s.head_dim;
  index_t const kv_width = index_t{s.kv_heads} * s.head_dim;
  detail::weight_reader read(files);
  decoder_weights out;
  out.shape = s;
  out.norm_eps = static_cast<float>(config.norm_eps);
  out.rope_inv_freq = rope_frequencies(config.rope, s.head_dim);
  out.rope_scale = static_cast<float>(config.rope.scale);
  out.rope_interleaved = config.rope.interleaved;
  out.windows = config.windows;
  out.embedding = read.matrix("model.embed_tokens.weight", s.vocabulary, width);
  out.head = config.tied_head ? out.embedding : read.matrix("lm_head.weight", s.vocabulary, width);
  out.final_norm = read.vector("model.norm.weight", width);
  for (int l = 0; l < s.layers; ++l) {
    auto const prefix = "model.layers." + std::to_string(l) + ".";
    auto const matrix = [&](char const* name, index_t rows, index_t cols) { return read.matrix(prefix + name + ".weight", rows, cols); };
    auto const vector = [&](char const* name, index_t n) { return read.vector(prefix + name, n); };
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
  read.refuse_others(out.head);
  if (finite) { check_finite(files.tensors()); }
  out.keeper = files.keeper();
  return out;
}

}  // namespace loopserve
