// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <loopserve/ops/cpu/line_mass.hpp>
#include <loopserve/ops/key_mass.hpp>

namespace loopserve {

/// The cpu backend's: up to 64 queries of a KV head against 64 keys at a time, float32; each query head's mass is summed in double.
template <class Element>
void key_mass(cpu const& b, tensor_view<float const, 3> q, kv_view<Element> kv, key_mass_options const& o, tensor_view<float, 2> scores) {
  auto const level = b.isa_level();
  auto* const unpack = choose(level, baseline::convert_row<Element, float>, avx2::convert_row<Element, float>, avx512::convert_row<Element, float>);
  auto* const score = choose(level, baseline::line_score_tile, avx2::line_score_tile, avx512::line_score_tile);
  auto* const softmax = choose(level, baseline::softmax_seen, avx2::softmax_seen, avx512::softmax_seen);
  auto* const add = choose(level, baseline::add_to_doubles, avx2::add_to_doubles, avx512::add_to_doubles);
  int const n = kv.length(), dim = kv.head_dim, padded = (dim + 15) / 16 * 16;
  int const queries = static_cast<int>(q.extent(0)), group = static_cast<int>(q.extent(1)) / kv.kv_heads, rows = queries * group;
  auto const scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
  parallel_for(b.threads(), kv.kv_heads, [&](index_t head) {
    auto const kv_head = static_cast<int>(head);
    float* const out = scores.data() + head * scores.stride(0);
    std::fill_n(out, n, 0.0F);
    int const most = std::min(64, (rows + 7) / 8 * 8);
    host_buffer<float> memory(index_t{most + 128} * padded + 8 * 64 + index_t{most} * n);
    float* const scaled = memory.data();
    float* const tile = scaled + index_t{most} * padded;
    float* const work = tile + index_t{64} * padded;
    float* const a = work + index_t{64} * padded + 8 * 64;
    std::vector<double> mass(static_cast<std::size_t>(n), 0.0);
    for (int first_row = 0; first_row < rows; first_row += most) {
      // Row r is query r % queries of query head r / queries.
      int const here = std::min(most, rows - first_row);
      std::fill_n(scaled, index_t{most + 64} * padded, 0.0F);
      for (int j = 0; j < here; ++j) {
        int const r = first_row + j;
        float const* const from = q.data() + (r % queries) * q.stride(0) + (head * group + r / queries) * q.stride(1);
        for (int d = 0; d < dim; ++d) { scaled[index_t{j} * padded + d] = scale * from[d]; }
      }
      for (int first = 0; first < n; first += 64) {
        int const count = std::min(64, n - first);
        for (int j = 0; j < count; ++j) { unpack(kv.key(first + j, kv_head), tile + index_t{j} * padded, dim); }
        score(scaled, here, tile, count, dim, padded, work, a + first, n);
      }
      for (int j = 0; j < here; ++j) {
        int const r = first_row + j, i = r % queries;
        softmax(a + index_t{j} * n, o.tail ? n - (queries - 1 - i) : n, n);
        add(a + index_t{j} * n, mass.data(), n);
        if (i != queries - 1) { continue; }
        for (int k = 0; k < n; ++k) {
          auto const one = static_cast<float>(mass[static_cast<std::size_t>(k)]);
          out[k] = o.reduce == head_reduce::max ? std::max(out[k], one) : out[k] + one;
        }
        std::fill(mass.begin(), mass.end(), 0.0);
      }
    }
    if (o.reduce == head_reduce::mean) {
      for (int k = 0; k < n; ++k) { out[k] /= static_cast<float>(group); }
    }
    std::vector<float> pooled;
    detail::finish_key_mass(kv, kv_head, o, out, pooled);
  });
}

}  // namespace loopserve
