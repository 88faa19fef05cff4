// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include <loopserve/core/weight_view.hpp>
#include <loopserve/model/decoder_weights.hpp>

namespace loopserve {

/// One layer's weights as operations take them, in the backend's memory. A bias or norm that a family lacks is empty.
struct layer_view {
  std::span<float const> attention_norm;
  weight_view q, k, v;
  std::span<float const> q_bias, k_bias, v_bias;
  std::span<float const> q_norm, k_norm;
  weight_view o;
  std::span<float const> o_bias;
  std::span<float const> feed_forward_norm;
  weight_view gate, up;
  weight_view down;
};

/// What a decoder reads of its weights; shapes as in decoder_weights.
struct decoder_view {
  weight_view embedding, head;
  std::span<float const> final_norm;
  std::span<float const> rope_inv_freq;
  std::vector<layer_view> layers;

  /// Calls `f` with each matrix, a tied one twice.
  template <class F>
  void for_each_matrix(F&& f) {
    f(embedding);
    f(head);
    for (auto& l : layers) {
      for (auto* w : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) { f(*w); }
    }
  }
  /// Calls `f` with each list of float32.
  template <class F>
  void for_each_list(F&& f) {
    f(final_norm);
    f(rope_inv_freq);
    for (auto& l : layers) {
      for (auto* v : {&l.attention_norm, &l.q_bias, &l.k_bias, &l.v_bias, &l.q_norm, &l.k_norm, &l.o_bias, &l.feed_forward_norm}) { f(*v); }
    }
  }
};

/// The weights where they lie in the host's memory; valid as long as `w`, also after it was moved.
inline decoder_view view_of(decoder_weights const& w) {
  decoder_view view{w.embedding, w.head, w.final_norm, w.rope_inv_freq, {}};
  for (auto const& l : w.layers) {
    view.layers.push_back({l.attention_norm, l.q, l.k, l.v, l.q_bias, l.k_bias, l.v_bias, l.q_norm, l.k_norm, l.o, l.o_bias, l.feed_forward_norm, l.gate, l.up,
                           l.down});
  }
  return view;
}

}  // namespace loopserve
