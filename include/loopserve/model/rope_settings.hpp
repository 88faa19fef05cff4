// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace loopserve {

enum class rope_scaling { none, linear, llama3, yarn };

constexpr char const* name_of(rope_scaling kind) {
  switch (kind) {
    case rope_scaling::none: return "none";
    case rope_scaling::linear: return "linear";
    case rope_scaling::llama3: return "llama3";
    case rope_scaling::yarn: return "yarn";
  }
  return "?";
}

/// Rotary positions as a model's files describe them.
struct rope_settings {
  double theta = 10000;
  rope_scaling kind = rope_scaling::none;
  double factor = 1;            ///< of linear, llama3, yarn
  double low_freq_factor = 1;   ///< llama3
  double high_freq_factor = 4;  ///< llama3
  double original_context = 0;  ///< llama3, yarn: tokens the model was trained on before it was stretched
  double beta_fast = 32;        ///< yarn
  double beta_slow = 1;         ///< yarn
  bool truncate = true;         ///< yarn: whole channels bound the ramp
  double scale = 1;             ///< on cosine and sine: yarn's attention factor
  bool interleaved = false;     ///< pairs are channels (2i, 2i + 1)
  std::vector<float> divisors;  ///< (head_dim / 2) from a GGUF's rope_freqs.weight, which llama3's scaling is stored as; empty: none
};

/// 0.1 m ln(s) + 1, what YaRN makes attention sharper by. Source: Peng et al.: YaRN, arXiv 2309.00071, section 3.4.
inline double yarn_attention_factor(double factor, double weight = 1) { return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1; }

/// The frequency of each of head_dim / 2 pairs, in radians per position.
/// Sources: linear, Chen et al., arXiv 2306.15595; yarn, arXiv 2309.00071, section 3.2; llama3, Meta's published model code.
inline std::vector<float> rope_frequencies(rope_settings const& rope, int head_dim) {
  constexpr double two_pi = 6.283185307179586476925;
  std::vector<float> out;
  // The channel that turns `turns` times within the original context.
  auto const channel = [&](double turns) { return head_dim * std::log(rope.original_context / (turns * two_pi)) / (2 * std::log(rope.theta)); };
  double low = 0;
  double high = 0;
  if (rope.kind == rope_scaling::yarn) {
    low = channel(rope.beta_fast);
    high = channel(rope.beta_slow);
    low = std::max(rope.truncate ? std::floor(low) : low, 0.0);
    high = std::min(rope.truncate ? std::ceil(high) : high, head_dim - 1.0);
    if (low == high) { high += 0.001; }
  }
  for (int i = 0; i < head_dim / 2; ++i) {
    double const plain = std::pow(rope.theta, -2.0 * i / head_dim);
    double f = plain;
    if (rope.kind == rope_scaling::linear) { f = plain / rope.factor; }
    if (rope.kind == rope_scaling::llama3) {
      double const turns = rope.original_context * plain / two_pi;
      double const kept = std::clamp((turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0, 1.0);
      f = (1 - kept) * plain / rope.factor + kept * plain;
    }
    if (rope.kind == rope_scaling::yarn) {
      double const stretched = std::clamp((i - low) / (high - low), 0.0, 1.0);
      f = stretched * plain / rope.factor + (1 - stretched) * plain;
    }
    if (!rope.divisors.empty()) { f /= rope.divisors[static_cast<std::size_t>(i)]; }
    out.push_back(static_cast<float>(f));
  }
  return out;
}

}  // namespace loopserve
