// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// The frequencies of rotary position embedding, as kernels take them.
struct rope_view {
  float const* inv_freq = nullptr;  ///< (pairs) radians per position
  int pairs = 0;                    ///< rotated pairs of a head; channels from 2 * pairs on stay as they are
  float scale = 1;                  ///< factor on sine and cosine (YaRN's attention factor)
  bool interleaved = false;         ///< pairs are channels (2i, 2i + 1) as in GGUF files of Llama; otherwise (i, i + pairs) as in Hugging Face's
};

/// Rotates every head of x (rows, heads, head_dim) in place by `positions` (rows); angles in double.
/// Source: Su et al.: RoFormer, arXiv 2104.09864, section 3.2.2.
inline void rope(reference const& b, tensor_view<float, 3> x, std::span<int const> positions, rope_view freq) {
  check(x.extent(0) == static_cast<index_t>(positions.size()), "rope: a position for every row is needed");
  check(2 * freq.pairs <= x.extent(2), "rope: more rotated channels than a head has");
  index_t const first_step = freq.interleaved ? 2 : 1;
  index_t const partner = freq.interleaved ? 1 : freq.pairs;
  index_t const tile = 16;
  auto const rows = x.extent(0);
  parallel_for(x.size() < 65536 ? 1 : b.threads(), (rows + tile - 1) / tile, [&](index_t t) {
    std::vector<double> turn(2 * static_cast<std::size_t>(freq.pairs));
    for (index_t r = t * tile; r < rows && r < (t + 1) * tile; ++r) {
      for (int i = 0; i < freq.pairs; ++i) {
        auto const angle = static_cast<double>(positions[r]) * freq.inv_freq[i];
        turn[2 * i] = std::cos(angle) * freq.scale;
        turn[2 * i + 1] = std::sin(angle) * freq.scale;
      }
      for (index_t h = 0; h < x.extent(1); ++h) {
        for (int i = 0; i < freq.pairs; ++i) {
          auto& low = x(r, h, i * first_step);
          auto& high = x(r, h, i * first_step + partner);
          double const a = low;
          double const c = high;
          low = static_cast<float>(a * turn[2 * i] - c * turn[2 * i + 1]);
          high = static_cast<float>(c * turn[2 * i] + a * turn[2 * i + 1]);
        }
      }
    }
  });
}

}  // namespace loopserve
