// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <loopserve/core/buffer.hpp>
#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/simd.hpp>
#include <loopserve/ops/line_mass.hpp>

#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/line_mass.inc>
#include <loopserve/ops/cpu/each_isa.hpp>

namespace loopserve {

/// The cpu backend's: 64 keys at a time, float32. Different heads may be worked on by different threads at once.
template <class Element>
void line_scores(cpu const& b, tensor_view<float const, 3> q, kv_view<Element> kv, std::span<int const> rows, int head, tensor_view<float, 2> a) {
  auto const level = b.isa_level();
  auto* const unpack = choose(level, baseline::convert_row<Element, float>, avx2::convert_row<Element, float>, avx512::convert_row<Element, float>);
  auto* const score = choose(level, baseline::line_score_tile, avx2::line_score_tile, avx512::line_score_tile);
  auto* const softmax = choose(level, baseline::softmax_seen, avx2::softmax_seen, avx512::softmax_seen);
  int const kv_head = head / (static_cast<int>(q.extent(1)) / kv.kv_heads);
  int const keys = kv.length(), history = keys - static_cast<int>(q.extent(0)), dim = kv.head_dim, padded = (dim + 15) / 16 * 16;
  auto const count = static_cast<int>(rows.size());
  if (count == 0) { return; }
  index_t const padded_rows = (count + 7) / 8 * 8;
  thread_local host_buffer<float> memory;
  index_t const needed = (padded_rows + 128) * padded + 8 * 64;
  if (memory.size() < needed) { memory = host_buffer<float>(needed); }
  float* const scaled = memory.data();
  float* const tile = scaled + padded_rows * padded;
  float* const work = tile + index_t{64} * padded;
  std::fill_n(scaled, (padded_rows + 64) * padded, 0.0F);
  auto const scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
  for (int i = 0; i < count; ++i) {
    for (int d = 0; d < dim; ++d) { scaled[index_t{i} * padded + d] = scale * q(rows[static_cast<std::size_t>(i)], head, d); }
  }
  int const last = history + rows.back();
  for (int first = 0; first <= last; first += 64) {
    int const here = std::min(64, keys - first);
    for (int j = 0; j < here; ++j) { unpack(kv.key(first + j, kv_head), tile + index_t{j} * padded, dim); }
    // Rows are ascending: those before the first that sees the tile's first key need none of it.
    int skip = 0;
    while (history + rows[static_cast<std::size_t>(skip)] < first) { ++skip; }
    score(scaled + index_t{skip} * padded, count - skip, tile, here, dim, padded, work, a.data() + skip * a.stride(0) + first, a.stride(0));
  }
  for (int i = 0; i < count; ++i) { softmax(a.data() + i * a.stride(0), history + rows[static_cast<std::size_t>(i)] + 1, keys); }
}

/// The cpu backend's: slashes are summed in the order of keys, where they are shifted rows, and turned around at the end.
inline void line_mass(cpu const& b, tensor_view<float const, 2> a, std::span<int const> positions, std::span<double> vertical, std::span<double> slash) {
  std::fill(vertical.begin(), vertical.end(), 0.0);
  std::fill(slash.begin(), slash.end(), 0.0);
  if (positions.empty()) { return; }
  auto* const add = choose(b.isa_level(), baseline::add_to_doubles, avx2::add_to_doubles, avx512::add_to_doubles);
  int const last = positions.back();  // offset d lies at [last - d]
  std::vector<double> turned(static_cast<std::size_t>(last) + 1, 0.0);
  for (int first = 0; first <= last; first += 1024) {
    for (std::size_t i = 0; i < positions.size(); ++i) {
      int const count = std::min(1024, positions[i] + 1 - first);
      if (count <= 0) { continue; }
      float const* const row = a.data() + static_cast<index_t>(i) * a.stride(0) + first;
      add(row, vertical.data() + first, count);
      add(row, turned.data() + (last - positions[i]) + first, count);
    }
  }
  std::reverse_copy(turned.begin(), turned.end(), slash.begin());
}

}  // namespace loopserve
