// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/config.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// Which cells of the attention matrix one chunk of new rows attends to, per query head, as kernels take it.
/// Row i (0 <= i < rows) has position p = keys - rows + i and may see keys k <= p. A head keeps cell (i, k) where k is one of its verticals or p - k one of
/// its slashes; a dense head keeps every causal cell. Lists are ascending and unique.
struct line_plan_view {
  int heads = 0;
  int rows = 0;
  int keys = 0;
  index_t stride = 0;                    ///< between the lists of two heads
  int* verticals = nullptr;              ///< (heads, stride): key indices
  int* slashes = nullptr;                ///< (heads, stride): offsets p - k
  int* vertical_counts = nullptr;        ///< (heads)
  int* slash_counts = nullptr;           ///< (heads)
  unsigned char* dense = nullptr;        ///< (heads): 1 = every causal cell; the lists are then not read
  float* covered = nullptr;              ///< (heads): mean attention mass kept on the sampled rows, 1 for dense, NaN where the selector does not know
};

/// Owns a plan; memory is reused from chunk to chunk and only grows.
template <class Backend>
class line_plan {
 public:
  explicit line_plan(Backend& backend) : backend_(&backend) {}

  /// The bytes of a plan over `keys` keys.
  static constexpr index_t planned_bytes(int heads, index_t keys) {
    return heads * (2 * keys * index_t{sizeof(int)} + index_t{2 * sizeof(int) + sizeof(float) + 1});
  }

  /// Makes room for `heads` lists of up to `keys` lines each, and declares every head dense.
  void reset(int heads, int rows, int keys) {
    auto const lines = static_cast<index_t>(heads) * keys;
    if (verticals_.size() < lines) {
      verticals_ = {};  // first give back, so that old and new never lie side by side
      slashes_ = {};
      verticals_ = backend_->template make_buffer<int>(lines);
      slashes_ = backend_->template make_buffer<int>(lines);
    }
    if (counts_.size() < 2 * heads) {
      counts_ = backend_->template make_buffer<int>(2 * heads);
      dense_ = backend_->template make_buffer<unsigned char>(heads);
      covered_ = backend_->template make_buffer<float>(heads);
    }
    heads_ = heads;
    rows_ = rows;
    keys_ = keys;
    declare_dense(*backend_, view());
  }

  line_plan_view view() {
    return {heads_,  rows_, keys_, keys_, verticals_.data(), slashes_.data(), counts_.data(), counts_.data() + heads_,
            dense_.data(), covered_.data()};
  }

  int heads() const { return heads_; }

 private:
  Backend* backend_;
  typename Backend::template buffer<int> verticals_, slashes_, counts_;
  typename Backend::template buffer<unsigned char> dense_;
  typename Backend::template buffer<float> covered_;
  int heads_ = 0, rows_ = 0, keys_ = 0;
};

/// Every head attends to every causal cell.
inline void declare_dense(reference const&, line_plan_view plan) {
  std::fill_n(plan.vertical_counts, plan.heads, 0);
  std::fill_n(plan.slash_counts, plan.heads, 0);
  std::fill_n(plan.dense, plan.heads, static_cast<unsigned char>(1));
  std::fill_n(plan.covered, plan.heads, 1.0F);
}

/// Cells that a dense head attends to: rows x keys below the diagonal.
LOOPSERVE_HOST_DEVICE constexpr index_t causal_cells(index_t rows, index_t keys) { return rows * (keys - rows) + rows * (rows + 1) / 2; }

/// Cells of head `h`'s union of lines, each counted once.
inline index_t union_cells(line_plan_view plan, int h) {
  index_t const history = plan.keys - plan.rows;
  if (plan.dense[h] != 0) { return causal_cells(plan.rows, plan.keys); }
  int const* const v = plan.verticals + h * plan.stride;
  int const* const v_end = v + plan.vertical_counts[h];
  int const* const s = plan.slashes + h * plan.stride;
  index_t cells = 0;
  for (auto const* c = v; c != v_end; ++c) { cells += plan.rows - std::max<index_t>(0, *c - history); }
  for (int i = 0; i < plan.slash_counts[h]; ++i) {
    index_t const d = s[i];
    cells += plan.rows - std::max<index_t>(0, d - history);
    // A vertical c and a slash d meet in the row p = c + d, where that row is one of the chunk's.
    auto const* const low = std::lower_bound(v, v_end, history - d, [](int c, index_t bound) { return c < bound; });
    auto const* const high = std::lower_bound(low, v_end, plan.keys - d, [](int c, index_t bound) { return c < bound; });
    cells -= high - low;
  }
  return cells;
}

}  // namespace loopserve
