// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include <loopserve/core/weight_view.hpp>
#include <loopserve/model/model.hpp>

namespace loopserve {

/// One layer's weights. A bias or norm that a family lacks is empty.
struct layer_weights {
  std::vector<float> attention_norm;     ///< (width)
  weight_view q, k, v;                   ///< (heads or kv_heads x head_dim, width)
  std::vector<float> q_bias, k_bias, v_bias;
  std::vector<float> q_norm, k_norm;     ///< (head_dim), before RoPE
  weight_view o;                         ///< (width, heads x head_dim)
  std::vector<float> o_bias;
  std::vector<float> feed_forward_norm;  ///< (width)
  weight_view gate, up;                  ///< (feed_forward, width)
  weight_view down;                      ///< (width, feed_forward)
};

/// All that a decoder computes with. Matrices are views of memory that `keeper` keeps alive (a mapped file), in the type they are stored in.
struct decoder_weights {
  model_shape shape;
  float norm_eps = 1e-5F;
  std::vector<float> rope_inv_freq;  ///< (head_dim / 2), scaled as the configuration says
  float rope_scale = 1;              ///< on cosine and sine (YaRN's attention factor)
  bool rope_interleaved = false;     ///< rotary pairs (2i, 2i + 1), as llama's GGUF files have them; else (i, i + head_dim / 2)
  std::vector<int> windows;          ///< (layers) sliding window in tokens, 0 for none; empty: none anywhere
  weight_view embedding;             ///< (vocabulary, width)
  weight_view head;                  ///< (vocabulary, width); the embedding where tied
  std::vector<float> final_norm;     ///< (width)
  std::vector<layer_weights> layers;
  std::shared_ptr<void const> keeper;

  /// Of the matrices, a tied one once.
  index_t bytes() const {
    index_t sum = embedding.bytes() + (head.data == embedding.data ? 0 : head.bytes());
    for (auto const& l : layers) {
      for (auto const* w : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) { sum += w->bytes(); }
    }
    return sum;
  }
};

}  // namespace loopserve
