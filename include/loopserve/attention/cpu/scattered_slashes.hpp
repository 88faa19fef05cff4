// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <loopserve/attention/cpu/prefill_tiles.hpp>
#include <loopserve/attention/prefill_rows.hpp>

namespace loopserve::detail {

/// Slashes that stand alone: row by row, since neighbouring rows share no key. All of a tile's rows go along one slash before the next, so that keys and
/// values are read as they follow each other in memory. What comes out is joined to the running softmax of the tile.
class scattered_slashes {
 public:
  scattered_slashes(stored_prefill_job const& job, int kv_head, std::vector<int> const& offsets)
      : job_(job),
        kv_head_(kv_head),
        padded_((job.kv.head_dim + 15) / 16 * 16),
        offsets_(offsets),
        rows_(8 * tile_lanes),
        scores_((offsets.size() + 3) / 4 * 4 * tile_lanes),
        q_(static_cast<std::size_t>(tile_lanes * padded_)),
        sums_(q_.size()) {}

  void attend(lane_tile const& lanes) {
    int const first = lanes.first_position(), dim = job_.kv.head_dim, count = lanes.lanes();
    // Offsets that reach behind the last row's first visible key are no row's.
    int const reach = lanes.last_position() - first_visible(lanes.last_position(), job_.window);
    auto const slashes = static_cast<int>(std::upper_bound(offsets_.begin(), offsets_.end(), reach) - offsets_.begin());
    if (slashes == 0) { return; }
    auto const& state = lanes.state();
    std::fill(q_.begin(), q_.end(), 0.0F);
    for (int l = 0; l < count; ++l) {
      for (int d = 0; d < dim; ++d) { q_[static_cast<std::size_t>(l * padded_ + d)] = state.q[d * tile_lanes + l]; }
    }
    int const rows = (count + 15) / 16 * 16;
    find(0, first, count, false, rows_.data());
    for (int j = 0; j < slashes; ++j) {
      unsigned char const** const now = rows_.data() + j % 2 * tile_lanes;
      unsigned char const** const next = rows_.data() + (j + 1) % 2 * tile_lanes;
      find(std::min(j + 1, slashes - 1), first, count, false, next);
      float* const scores = scores_.data() + index_t{j} * tile_lanes;
      job_.slashes.score(q_.data(), now, next, rows, dim, padded_, scores);
      // Rows before the slash begins see nothing on it, nor do lanes without a row.
      int const begins = std::clamp(offsets_[static_cast<std::size_t>(j)] - first, 0, count);
      std::fill_n(scores, begins, -std::numeric_limits<float>::infinity());
      std::fill(scores + count, scores + tile_lanes, -std::numeric_limits<float>::infinity());
    }
    int const padded_slashes = (slashes + 3) / 4 * 4;
    std::fill_n(scores_.data() + index_t{slashes} * tile_lanes, (padded_slashes - slashes) * tile_lanes, -std::numeric_limits<float>::infinity());
    alignas(64) float top[tile_lanes], weight[tile_lanes];
    job_.slashes.weigh(scores_.data(), padded_slashes, top, weight);
    std::fill(sums_.begin(), sums_.end(), 0.0F);
    for (int j = 0; j < 4; ++j) { find(std::min(j, slashes - 1), first, count, true, rows_.data() + j * tile_lanes); }
    for (int j = 0; j < padded_slashes; j += 4) {
      for (int i = 4; i < 8; ++i) { find(std::min(j + i, slashes - 1), first, count, true, rows_.data() + i * tile_lanes); }
      job_.slashes.add_four(scores_.data() + index_t{j} * tile_lanes, rows_.data(), count, dim, padded_, sums_.data());
      std::copy_n(rows_.data() + 4 * tile_lanes, 4 * tile_lanes, rows_.data());
    }
    join(lanes, top, weight);
  }

 private:
  /// Points `rows` at the keys (or values) of slash `j` for the rows from position `first` on; where a row has none, at one that exists.
  void find(int j, int first, int count, bool values, unsigned char const** rows) const {
    int const offset = offsets_[static_cast<std::size_t>(j)];
    auto const at = [&](int key) { return values ? job_.kv.value(key, kv_head_) : job_.kv.key(key, kv_head_); };
    int l = std::clamp(offset - first, 0, count - 1);
    std::fill_n(rows, l, at(first + l - offset));
    while (l < count) {
      int const key = first + l - offset;
      int const run = std::min(job_.kv.run(key), count - l);
      auto const* const row = at(key);
      for (int i = 0; i < run; ++i) { rows[l + i] = row + i * job_.kv.row_bytes; }
      l += run;
    }
    std::fill(rows + count, rows + tile_lanes, rows[0]);
  }

  void join(lane_tile const& lanes, float const* top, float const* weight) const {
    auto const& state = lanes.state();
    float fade[tile_lanes] = {}, scale[tile_lanes] = {};
    for (int l = 0; l < lanes.lanes(); ++l) {
      float const joint = std::max(state.top[l], top[l]);
      fade[l] = std::exp2(state.top[l] - joint);
      scale[l] = std::exp2(top[l] - joint);
      state.top[l] = joint;
      state.weight[l] = fade[l] * state.weight[l] + scale[l] * weight[l];
    }
    for (int d = 0; d < job_.kv.head_dim; ++d) {
      float* const sum = state.sum + index_t{d} * tile_lanes;
      for (int l = 0; l < tile_lanes; ++l) { sum[l] = fade[l] * sum[l] + scale[l] * sums_[static_cast<std::size_t>(l * padded_ + d)]; }
    }
  }

  stored_prefill_job const& job_;
  int kv_head_;
  int padded_;
  std::vector<int> const& offsets_;
  std::vector<unsigned char const*> rows_;
  std::vector<float> scores_, q_, sums_;
};

}  // namespace loopserve::detail
