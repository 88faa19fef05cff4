// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/tensor_view.hpp>

namespace loopserve {

/// Attention of some rows of query head `head` over all keys they may see: `a(i, k)` = softmax over k <= p_i of q . k / sqrt(head_dim), 0 behind p_i.
/// q (rows, heads, head_dim) after RoPE; row r has position kv.length() - rows + r; `rows` names the rows taken, ascending; a (rows.size(), kv.length()).
/// Different heads may be worked on by different threads at once.
template <class Element>
void line_scores(reference const&, tensor_view<float const, 3> q, kv_view<Element> kv, std::span<int const> rows, int head, tensor_view<float, 2> a) {
  int const kv_head = head / (static_cast<int>(q.extent(1)) / kv.kv_heads);
  int const history = kv.length() - static_cast<int>(q.extent(0));
  double const scale = 1 / std::sqrt(static_cast<double>(kv.head_dim));
  std::vector<double> score(static_cast<std::size_t>(kv.length()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    int const seen = history + rows[i] + 1;
    double top = -std::numeric_limits<double>::infinity();
    for (int k = 0; k < seen; ++k) {
      Element const* const key = kv.key(k, kv_head);
      double sum = 0;
      for (int c = 0; c < kv.head_dim; ++c) { sum += static_cast<double>(q(rows[i], head, c)) * static_cast<double>(static_cast<float>(key[c])); }
      score[static_cast<std::size_t>(k)] = sum * scale;
      top = std::max(top, sum * scale);
    }
    double weight = 0;
    for (int k = 0; k < seen; ++k) {
      auto& s = score[static_cast<std::size_t>(k)];
      s = std::exp(s - top);
      weight += s;
    }
    for (int k = 0; k < seen; ++k) { a(i, k) = static_cast<float>(score[static_cast<std::size_t>(k)] / weight); }
    for (int k = seen; k < kv.length(); ++k) { a(i, k) = 0; }
  }
}

/// How much attention lies on each line: vertical[c] = sum over i of a(i, c), slash[d] = sum over i of a(i, positions[i] - d). Sums are in double.
/// a (rows, keys), zero behind each row's position; vertical and slash (keys).
inline void line_mass(reference const&, tensor_view<float const, 2> a, std::span<int const> positions, std::span<double> vertical, std::span<double> slash) {
  std::fill(vertical.begin(), vertical.end(), 0.0);
  std::fill(slash.begin(), slash.end(), 0.0);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    for (int k = 0; k <= positions[i]; ++k) {
      double const mass = a(i, k);
      vertical[static_cast<std::size_t>(k)] += mass;
      slash[static_cast<std::size_t>(positions[i] - k)] += mass;
    }
  }
}

namespace detail {

/// Logits of sampled rows that a device holds at once: 1.5 GiB, so those of 32 heads up to 192k keys; or those of one query head where that is more.
inline constexpr index_t line_logits_at_once = index_t{3} << 27;

/// Query heads whose sampled rows a device looks at together: as often as it must, near equal numbers of them.
constexpr int line_heads_at_once(int heads, int sampled, index_t keys, index_t held = line_logits_at_once) {
  int const all = std::max(heads, 1);
  auto const fit = static_cast<int>(std::clamp<index_t>(held / std::max<index_t>(sampled * keys, 1), 1, all));
  int const times = (all + fit - 1) / fit;
  return (all + times - 1) / times;
}
static_assert(line_heads_at_once(32, 64, 133120) == 32 && line_heads_at_once(32, 64, 200000) == 16 && line_heads_at_once(32, 64, 1 << 20) == 6 &&
              line_heads_at_once(0, 64, 100) == 1 && line_heads_at_once(5, 64, 1 << 30) == 1);

/// Bytes that a device's search for the lines of `heads` heads holds: logits and softmax parts of the rows, packed queries, and the state of the lines (26 bytes
/// a key). With 64 rows, 32 heads and head_dim 128: 1.25 GB at 128k keys (all heads at once), 1.8 GB at 1M (6 heads at once). Logits are kept, because a
/// cover asks for single cells, of the lines that come into question: some thousand lines of 64 cells, each of which would cost a key's row and a product.
constexpr index_t device_line_bytes(int heads, int sampled, index_t keys, int head_dim) {
  index_t const at_once = line_heads_at_once(heads, sampled, keys), stride = (keys + 15) / 16 * 16;
  return at_once * (sampled * (stride * 4 + (keys + 127) / 128 * 32 + 8) + (sampled + 15) / 16 * 16 * head_dim * 4 + stride * 26 + 16400) + index_t{heads} * sampled * 4;
}

}  // namespace detail
}  // namespace loopserve
