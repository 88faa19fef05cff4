// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <loopserve/attention/cpu/prefill_tiles.hpp>
#include <loopserve/attention/cpu/scattered_row.hpp>

namespace loopserve::detail {

/// Slashes that stand alone: row by row, each row's keys wherever they lie, joined to the running softmax of its lane.
template <class Element>
class scattered_slashes {
 public:
  scattered_slashes(cpu const& b, prefill_job<Element> const& job, int kv_head, std::vector<int> const& offsets)
      : attend_(choose(b.isa_level(), baseline::scattered_row<Element>, avx2::scattered_row<Element>, avx512::scattered_row<Element>)),
        job_(job),
        kv_head_(kv_head),
        offsets_(offsets),
        keys_(offsets.size() + 16),
        values_(offsets.size() + 16),
        scores_(offsets.size() + 16),
        q_(static_cast<std::size_t>(job.kv.head_dim)),
        sum_(static_cast<std::size_t>(job.kv.head_dim)) {}

  void attend(lane_tile const& lanes) {
    auto const& state = lanes.state();
    int const dim = job_.kv.head_dim;
    for (int l = 0; l < lanes.lanes(); ++l) {
      int const count = find_cells(lanes.first_position() + l);
      if (count == 0) { continue; }
      for (int d = 0; d < dim; ++d) { q_[static_cast<std::size_t>(d)] = state.q[d * tile_lanes + l]; }
      float found[2];
      attend_(q_.data(), keys_.data(), values_.data(), count, dim, scores_.data(), sum_.data(), found);
      float const top = std::max(state.top[l], found[0]);
      float const fade = std::exp2(state.top[l] - top);
      float const scale = std::exp2(found[0] - top);
      state.top[l] = top;
      state.weight[l] = fade * state.weight[l] + scale * found[1];
      for (int d = 0; d < dim; ++d) {
        float& s = state.sum[d * tile_lanes + l];
        s = fade * s + scale * sum_[static_cast<std::size_t>(d)];
      }
    }
  }

 private:
  /// Points keys_ and values_ at the row's cells; the first is repeated behind the last.
  int find_cells(int position) {
    int const first = first_visible(position, job_.window);
    int n = 0;
    for (int const offset : offsets_) {
      int const key = position - offset;
      if (key < first) { break; }
      keys_[static_cast<std::size_t>(n)] = job_.kv.key(key, kv_head_);
      values_[static_cast<std::size_t>(n)] = job_.kv.value(key, kv_head_);
      ++n;
    }
    for (int pad = n; n > 0 && pad % 16 != 0; ++pad) { keys_[static_cast<std::size_t>(pad)] = keys_[0]; }
    return n;
  }

  void (*attend_)(float const*, Element const* const*, Element const* const*, int, int, float*, float*, float*);
  prefill_job<Element> const& job_;
  int kv_head_;
  std::vector<int> const& offsets_;
  std::vector<Element const*> keys_, values_;
  std::vector<float> scores_, q_, sum_;
};

}  // namespace loopserve::detail
