// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/element.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/ops/lanes.hpp>

namespace loopserve {

/// Consecutive tokens that share the extremes of a channel.
inline constexpr int sketch_group = 64;

/// Keys in 1, 2 or 4 bits a channel: k^ = lo + step * code, lo and step for each group of 64 tokens, KV head and channel.
/// (Per-channel key quantisation: KIVI, arXiv 2402.02750; few-bit keys for retrieval: FIER, 2508.08256.)
/// Channel c of token t lies in word c / (32 / bits) of the token at bits [bits * (c % (32 / bits)), + bits), words token by token, so that neighbouring
/// lanes read neighbouring words.
struct key_sketch_view {
  int kv_heads = 0;
  int head_dim = 0;
  int bits = 2;
  int groups = 0;                  ///< full groups held, from token 0 on
  f16* lo = nullptr;               ///< (groups, kv_heads, head_dim)
  f16* step = nullptr;             ///< (groups, kv_heads, head_dim)
  std::uint32_t* codes = nullptr;  ///< (groups, kv_heads, words, 64 tokens)

  constexpr int channels_per_word() const { return 32 / bits; }
  constexpr int words() const { return (head_dim + channels_per_word() - 1) / channels_per_word(); }
  f16* lo_of(int g, int h) const { return lo + (index_t{g} * kv_heads + h) * head_dim; }
  f16* step_of(int g, int h) const { return step + (index_t{g} * kv_heads + h) * head_dim; }
  std::uint32_t* codes_of(int g, int h) const { return codes + (index_t{g} * kv_heads + h) * words() * sketch_group; }
  int code(int token, int h, int channel) const {
    auto const word = codes_of(token / sketch_group, h)[channel / channels_per_word() * sketch_group + token % sketch_group];
    return static_cast<int>((word >> (bits * (channel % channels_per_word()))) & ((1u << bits) - 1));
  }
};

namespace detail {

/// The largest f16 that is not above x; finite.
constexpr f16 f16_down(float x) {
  x = std::max(x, -65504.0F);
  f16 h(x);
  if (static_cast<float>(h) > x) { h.bits = h.bits == 0 ? 0x8001 : (h.bits & 0x8000) != 0 ? h.bits + 1 : h.bits - 1; }
  return h;
}

/// The smallest f16 that is not below x, for x >= 0; finite.
constexpr f16 f16_up(float x) {
  f16 h(std::min(x, 65504.0F));
  if (static_cast<float>(h) < x && h.bits != 0x7bff) { h.bits = static_cast<std::uint16_t>(h.bits + 1); }
  return h;
}

}  // namespace detail

/// Writes groups [from, to) of the sketch from the keys of `kv`, which holds all their tokens.
/// |k - k^| <= step / 2 in every channel, for keys within f16's range.
template <class Element>
void sketch_keys(reference const& b, kv_view<Element> kv, int from, int to, key_sketch_view sketch) {
  if (to <= from) { return; }
  int const top = (1 << sketch.bits) - 1;
  parallel_for(threads_for(b, index_t{to - from} * sketch_group * sketch.kv_heads * sketch.head_dim), index_t{to - from} * sketch.kv_heads, [&](index_t job) {
    int const g = from + static_cast<int>(job / sketch.kv_heads), h = static_cast<int>(job % sketch.kv_heads), first = g * sketch_group;
    std::uint32_t* const codes = sketch.codes_of(g, h);
    std::fill_n(codes, sketch.words() * sketch_group, 0u);
    for (int c = 0; c < sketch.head_dim; ++c) {
      float low = std::numeric_limits<float>::infinity(), high = -low;
      for (int t = 0; t < sketch_group; ++t) {
        float const x = kv.key(first + t, h)[c];
        low = std::min(low, x);
        high = std::max(high, x);
      }
      f16 const lo = detail::f16_down(low), step = detail::f16_up((high - static_cast<float>(lo)) / static_cast<float>(top));
      sketch.lo_of(g, h)[c] = lo;
      sketch.step_of(g, h)[c] = step;
      float const inverse = static_cast<float>(step) > 0 ? 1 / static_cast<float>(step) : 0;
      int const word = c / sketch.channels_per_word(), shift = sketch.bits * (c % sketch.channels_per_word());
      for (int t = 0; t < sketch_group; ++t) {
        float const at = (static_cast<float>(kv.key(first + t, h)[c]) - static_cast<float>(lo)) * inverse;
        auto const code = static_cast<std::uint32_t>(std::clamp(at + 0.5F, 0.0F, static_cast<float>(top)));
        codes[word * sketch_group + t] |= code << shift;
      }
    }
  });
}

/// What each key of the context would get from these queries, by the sketch; tokens behind its last group by their own keys: softmax over the context of
/// q . k^ / sqrt(head_dim), summed over the queries and over the query heads of a KV head. q (n, heads, head_dim), the last axis dense;
/// scores (kv_heads, kv.length()). One offset q . lo a group, one scaled query q * step a group.
template <class Element>
void sketch_scores(reference const& b, tensor_view<float const, 3> q, kv_view<Element> kv, key_sketch_view sketch, tensor_view<float, 2> scores) {
  int const n = kv.length(), group = static_cast<int>(q.extent(1)) / kv.kv_heads, sketched = sketch.groups * sketch_group;
  double const scale = 1 / std::sqrt(static_cast<double>(kv.head_dim));
  parallel_for(threads_for(b, q.size() * n), kv.kv_heads, [&](index_t head) {
    auto const h = static_cast<int>(head);
    std::vector<double> work(static_cast<std::size_t>(n)), sum(static_cast<std::size_t>(n), 0.0), scaled(static_cast<std::size_t>(kv.head_dim));
    for (index_t row = 0; row < q.extent(0) * group; ++row) {
      float const* const query = q.data() + row / group * q.stride(0) + (head * group + row % group) * q.stride(1);
      for (int g = 0; g < sketch.groups; ++g) {
        double offset = 0;
        for (int c = 0; c < kv.head_dim; ++c) {
          offset += static_cast<double>(query[c]) * static_cast<double>(static_cast<float>(sketch.lo_of(g, h)[c]));
          scaled[static_cast<std::size_t>(c)] = static_cast<double>(query[c]) * static_cast<double>(static_cast<float>(sketch.step_of(g, h)[c]));
        }
        for (int t = g * sketch_group; t < (g + 1) * sketch_group; ++t) {
          double dot = offset;
          for (int c = 0; c < kv.head_dim; ++c) { dot += scaled[static_cast<std::size_t>(c)] * sketch.code(t, h, c); }
          work[static_cast<std::size_t>(t)] = dot * scale;
        }
      }
      for (int t = sketched; t < n; ++t) {
        double dot = 0;
        for (int c = 0; c < kv.head_dim; ++c) { dot += static_cast<double>(query[c]) * static_cast<double>(static_cast<float>(kv.key(t, h)[c])); }
        work[static_cast<std::size_t>(t)] = dot * scale;
      }
      double const top = n > 0 ? *std::max_element(work.begin(), work.end()) : 0;
      double weight = 0;
      for (auto& x : work) { weight += x = std::exp(x - top); }
      for (std::size_t t = 0; t < work.size(); ++t) { sum[t] += work[t] / weight; }
    }
    for (int t = 0; t < n; ++t) { scores(h, t) = static_cast<float>(sum[static_cast<std::size_t>(t)]); }
  });
}

}  // namespace loopserve
