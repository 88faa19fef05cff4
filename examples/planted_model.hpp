// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <loopserve/core/buffer.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/core/rng.hpp>
#include <loopserve/model/decoder_weights.hpp>

/// Random models whose attention has structure. Plain random weights attend to everything alike, and nothing can be skipped; here each query head looks at
/// marked tokens (vertical lines), at a fixed distance (slash lines), or at both, so that speed can be measured at a known attention area.
namespace planted {

using loopserve::index_t;
using loopserve::token_id;

struct options {
  loopserve::element_type type = loopserve::element_type::bf16;  ///< f32, f16 or bf16
  double area = 0.1;      ///< share of the causal cells that alpha 0.955 should ask for at 16k of history, mean over heads, from 0.03 on
  int context = 16384;    ///< slashes lie at distances up to a quarter of this
  bool structure = true;  ///< false: the same weights without biases and marks, for comparison
  std::uint64_t seed = 1;
  int threads = 0;        ///< 0: as many as the machine has; the weights do not depend on it
};

/// What a query head looks at. Layer by layer they go round: marks, distance, marks, both.
enum class head_kind { marks, distance, both };

inline head_kind kind_of(int layer, int head) {
  constexpr head_kind round[] = {head_kind::marks, head_kind::distance, head_kind::marks, head_kind::both};
  return round[(layer + head) % 4];
}

/// The numbers behind the structure, found with a prototype at 16k of history. Scores are q . k / sqrt(head_dim).
struct strengths {
  double content = 0.4;        ///< standard deviation of q and k apart from what is planted
  double mark = 10;            ///< score of a marked token where a head looks for marks
  double distance = 14;        ///< score of the key at a head's distance
  double beside_distance = 0.4;  ///< share of `mark` in a head of kind `distance`: rows that have no key so far back must look somewhere
  double beside_mark = 0.7;      ///< share of `mark` in a head of kind `both`
  double branch = 0.2;         ///< of the standard deviation of what a layer adds, so that the marks stay visible in deep layers
  double rope_base = 1e6;      ///< the slowest pairs turn by under half a radian in 16k tokens: they carry the marks
};

/// The share of token ids that are marked. Measured: a head of marks takes 0.93 of the share; the others take 2 to 4% of the cells.
inline double marked_share(options const& o) { return o.structure ? std::clamp((o.area - 0.016) / 0.465, 0.01, 0.9) : 0.0; }

inline bool is_marked(options const& o, int id) {
  return loopserve::counter_rng{o.seed, 0x6d61726bU}.uniform(static_cast<std::uint64_t>(id)) < marked_share(o);
}

/// The distance that a head of kind `distance` or `both` looks back: log-uniform between 256 (an eighth of a short context) and a quarter of the context.
inline int distance_of(options const& o, int layer, int head) {
  auto const u = loopserve::counter_rng{o.seed, 0x64697374U, static_cast<std::uint64_t>(layer)}.uniform(static_cast<std::uint64_t>(head));
  double const nearest = std::min(256, o.context / 8);
  return static_cast<int>(nearest * std::pow(o.context / 4 / nearest, u));
}

/// `count` token ids drawn evenly from the vocabulary: the input that the area is meant for.
inline std::vector<token_id> tokens(loopserve::model_shape const& shape, int count, std::uint64_t seed = 1) {
  loopserve::counter_rng const rng{seed, 0x746f6b73U};
  std::vector<token_id> ids(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    ids[static_cast<std::size_t>(i)] = token_id(static_cast<int>(rng.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(shape.vocabulary))));
  }
  return ids;
}

namespace detail {

/// Near-normal numbers of unit variance out of one draw each: the sum of its four 16-bit parts.
inline float normal(loopserve::counter_rng const& rng, index_t i) {
  auto const bits = rng.bits(static_cast<std::uint64_t>(i));
  auto const sum = static_cast<int>((bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48));
  return static_cast<float>(sum - 2 * 0xffff) * (1.0F / 37837.2F);
}

/// Component `i` of the direction, of length sqrt(width), that marked tokens carry.
inline float mark_direction(options const& o, int i) {
  return (loopserve::counter_rng{o.seed, 0x75U}.bits(static_cast<std::uint64_t>(i)) & 1U) != 0 ? 1.0F : -1.0F;
}

/// Owns the matrices.
class store {
 public:
  store(options const& o) : options_(o), threads_(o.threads > 0 ? o.threads : loopserve::available_threads()) {}

  /// A matrix of normal numbers times `gain`; `planted(row, col)` is added.
  template <class Planted>
  loopserve::weight_view matrix(index_t rows, index_t cols, double gain, Planted planted) {
    auto const type = options_.type;
    auto& memory = memory_.emplace_back(rows * loopserve::bytes_of(type, cols));
    loopserve::counter_rng const rng{options_.seed, 0x77U, memory_.size()};
    loopserve::parallel_for(threads_, (rows + 63) / 64, [&](index_t block) {
      for (index_t r = 64 * block; r < std::min(rows, 64 * block + 64); ++r) {
        auto* const row = memory.data() + r * loopserve::bytes_of(type, cols);
        auto const fill = [&](auto* out) {
          using element = std::remove_pointer_t<decltype(out)>;
          for (index_t c = 0; c < cols; ++c) { out[c] = element(static_cast<float>(gain) * normal(rng, r * cols + c) + planted(r, c)); }
        };
        switch (type) {
          case loopserve::element_type::f32: fill(reinterpret_cast<float*>(row)); break;
          case loopserve::element_type::f16: fill(reinterpret_cast<loopserve::f16*>(row)); break;
          default: fill(reinterpret_cast<loopserve::bf16*>(row)); break;
        }
      }
    });
    return {type, rows, cols, memory.data()};
  }

  loopserve::weight_view matrix(index_t rows, index_t cols, double gain) {
    return matrix(rows, cols, gain, [](index_t, index_t) { return 0.0F; });
  }

 private:
  options options_;
  int threads_;
  std::vector<loopserve::host_buffer<unsigned char>> memory_;
};

/// Which rotary pairs carry what: the fast ones distances, the slow ones marks.
struct pairs {
  int half, fast, slow;
  explicit pairs(int head_dim) : half(head_dim / 2), fast(half * 20 / 32), slow(half * 25 / 32) {}
};

}  // namespace detail

/// Qwen2-style weights (biases on q and k) of any shape; head_dim >= 16. Meant for contexts up to 32k tokens.
inline loopserve::decoder_weights make(loopserve::model_shape const& shape, options const& o = {}, strengths const& s = {}) {
  loopserve::check(o.type != loopserve::element_type::q8_0, "a planted model's weights are f32, f16 or bf16");
  loopserve::check(shape.head_dim >= 16, "a planted model's heads have at least 16 dimensions");
  auto const memory = std::make_shared<detail::store>(o);
  detail::pairs const pair(shape.head_dim);
  index_t const width = shape.width, dim = shape.head_dim, q_rows = shape.heads * dim, kv_rows = shape.kv_heads * dim;
  double const per_pair = std::sqrt(static_cast<double>(dim));
  auto const amplitude_fast = static_cast<float>(std::sqrt(s.distance * per_pair / pair.fast));
  auto const amplitude_slow = static_cast<float>(std::sqrt(s.mark * per_pair / (pair.half - pair.slow)));
  double const even = 1 / std::sqrt(static_cast<double>(width));

  std::vector<float> direction(static_cast<std::size_t>(width));
  for (int i = 0; i < width; ++i) { direction[static_cast<std::size_t>(i)] = detail::mark_direction(o, i); }

  loopserve::decoder_weights w;
  w.shape = shape;
  w.keeper = memory;
  for (int j = 0; j < pair.half; ++j) { w.rope_inv_freq.push_back(static_cast<float>(std::pow(s.rope_base, -static_cast<double>(j) / pair.half))); }
  w.final_norm.assign(static_cast<std::size_t>(width), 1.0F);
  std::vector<char> marked(static_cast<std::size_t>(shape.vocabulary));
  for (int id = 0; id < shape.vocabulary; ++id) { marked[static_cast<std::size_t>(id)] = is_marked(o, id) ? 1 : 0; }
  w.embedding = memory->matrix(shape.vocabulary, width, 1.0, [&](index_t id, index_t i) {
    return marked[static_cast<std::size_t>(id)] != 0 ? direction[static_cast<std::size_t>(i)] : 0.0F;
  });
  w.head = memory->matrix(shape.vocabulary, width, 2 * even);

  // A marked embedding has variance 2, half of it along the direction: after the norm its part there is sqrt(width / 2), which k turns into amplitude_slow.
  auto const mark_gain = o.structure ? amplitude_slow * std::sqrt(2.0F) / static_cast<float>(width) : 0.0F;
  auto const k_planted = [&](index_t row, index_t i) {
    auto const d = row % dim;
    return d >= pair.slow && d < pair.half ? mark_gain * direction[static_cast<std::size_t>(i)] : 0.0F;
  };
  for (int layer = 0; layer < shape.layers; ++layer) {
    loopserve::layer_weights l;
    l.attention_norm.assign(static_cast<std::size_t>(width), 1.0F);
    l.feed_forward_norm = l.attention_norm;
    l.q = memory->matrix(q_rows, width, s.content * even);
    l.k = memory->matrix(kv_rows, width, s.content * even, k_planted);
    l.v = memory->matrix(kv_rows, width, even);
    l.o = memory->matrix(width, q_rows, s.branch / std::sqrt(static_cast<double>(q_rows)));
    l.gate = memory->matrix(shape.feed_forward, width, even);
    l.up = memory->matrix(shape.feed_forward, width, even);
    l.down = memory->matrix(width, shape.feed_forward, s.branch / std::sqrt(static_cast<double>(shape.feed_forward)));
    if (o.structure) {
      l.q_bias.assign(static_cast<std::size_t>(q_rows), 0.0F);
      l.k_bias.assign(static_cast<std::size_t>(kv_rows), 0.0F);
      for (int head = 0; head < shape.kv_heads; ++head) {
        std::fill_n(l.k_bias.begin() + head * dim, pair.fast, amplitude_fast);
      }
      for (int head = 0; head < shape.heads; ++head) {
        auto* const q = l.q_bias.data() + head * dim;
        auto const kind = kind_of(layer, head);
        double const share = kind == head_kind::marks ? 1 : kind == head_kind::both ? s.beside_mark : s.beside_distance;
        std::fill(q + pair.slow, q + pair.half, amplitude_slow * static_cast<float>(share));
        if (kind == head_kind::marks) { continue; }
        // A pair turned back by its angle at that distance: all fast pairs agree there, and only there.
        int const back = distance_of(o, layer, head);
        for (int j = 0; j < pair.fast; ++j) {
          double const angle = back * std::pow(s.rope_base, -static_cast<double>(j) / pair.half);
          q[j] = amplitude_fast * static_cast<float>(std::cos(angle));
          q[pair.half + j] = -amplitude_fast * static_cast<float>(std::sin(angle));
        }
      }
    }
    w.layers.push_back(std::move(l));
  }
  return w;
}

}  // namespace planted
