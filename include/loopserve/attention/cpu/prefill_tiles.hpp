// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include <loopserve/attention/cpu/attend_tile.hpp>
#include <loopserve/attention/cpu/scratch.hpp>
#include <loopserve/attention/cpu/stored_kv.hpp>
#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/weight_row.hpp>

namespace loopserve::detail {

/// Query rows of some heads of one KV head, cut into tiles of 64 lanes: lane n of the whole is row n / heads, head heads[n % heads]. A work unit is up to
/// `unit_tiles` consecutive tiles, which share each conversion of keys and values; how many they are changes no bit.
struct head_rows {
  int job;
  int kv_head;
  std::vector<int> heads;
};

struct work_unit {
  int rows_of;     ///< index of its head_rows
  int first_lane;  ///< a multiple of 64
  int lanes;
};

inline constexpr int unit_tiles = 4;

/// Cuts `lanes` into units: as many tiles together as still leave every thread some units.
inline void add_units(std::vector<work_unit>& units, int rows_of, int lanes, int tiles_together) {
  int const step = tiles_together * tile_lanes;
  for (int first = 0; first < lanes; first += step) { units.push_back({rows_of, first, std::min(step, lanes - first)}); }
}

/// How many tiles a unit should have so that `lanes` in all keep `threads` busy.
inline int tiles_together(index_t lanes, int threads) {
  return static_cast<int>(std::clamp<index_t>(lanes / (index_t{4} * threads * tile_lanes), 1, unit_tiles));
}

/// One tile of lanes at work: its queries, running softmax and results.
class lane_tile {
 public:
  /// Floats of scratch that one takes.
  static index_t floats(int dim) { return index_t{2} * padded_to_8(dim) * tile_lanes + 2 * tile_lanes; }

  lane_tile(stored_prefill_job const& job, std::span<int const> heads, int first_lane, int lanes, float* memory)
      : heads_(heads), first_(first_lane), lanes_(lanes), history_(job.kv.tokens - static_cast<int>(job.q.extent(0))), window_(job.window) {
    int const dim = job.kv.head_dim;
    index_t const block = index_t{padded_to_8(dim)} * tile_lanes;
    state_ = {memory, memory + block, memory + 2 * block, memory + 2 * block + tile_lanes};
    std::fill_n(state_.sum, block, 0.0F);
    std::fill_n(state_.top, tile_lanes, lane_floor);
    std::fill_n(state_.weight, tile_lanes, 0.0F);
    auto const scale = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(dim)));
    std::fill_n(state_.q, block, 0.0F);
    for (int l = 0; l < lanes; ++l) {
      float const* const q = &job.q(row(l), head(l), 0);
      for (int d = 0; d < dim; ++d) { state_.q[d * tile_lanes + l] = scale * q[d]; }
    }
  }

  int lanes() const { return lanes_; }
  int row(int lane) const { return (first_ + lane) / static_cast<int>(heads_.size()); }
  int head(int lane) const { return heads_[static_cast<std::size_t>(first_ + lane) % heads_.size()]; }
  int first_position() const { return history_ + row(0); }
  int last_position() const { return history_ + row(lanes_ - 1); }
  lane_tile_state const& state() const { return state_; }

  /// Lanes that see `key`: at its position or later, and inside the window.
  std::uint64_t seeing(int key) const {
    auto const per_row = static_cast<index_t>(heads_.size());
    index_t const low = (key - history_) * per_row - first_;
    index_t const high = window_ > 0 ? (index_t{key} + window_ - history_) * per_row - first_ : lanes_;
    return lane_range(low, std::min<index_t>(high, lanes_));
  }

  /// out = sum / weight; a lane that saw nothing is zero.
  void write(stored_prefill_job const& job) const {
    for (int l = 0; l < lanes_; ++l) {
      float const weight = state_.weight[l];
      float const scale = weight == 0 ? 0 : 1 / weight;
      float* const out = &job.out(row(l), head(l), 0);
      for (int d = 0; d < job.kv.head_dim; ++d) { out[d] = scale * state_.sum[d * tile_lanes + l]; }
    }
  }

 private:
  std::span<int const> heads_;
  int first_;
  int lanes_;
  int history_;
  int window_;
  lane_tile_state state_;
};

/// Converts keys and values of tokens into a kv_tile, one instruction set's way.
class kv_tile_loader {
 public:
  static index_t floats(int dim) { return index_t{2} * tile_keys * padded_to_8(dim); }

  kv_tile_loader(cpu const& b, stored_kv const& kv, int kv_head, float* memory) : unpack_(choose_unpack(b.isa_level(), kv.type)), kv_(kv), kv_head_(kv_head) {
    int const padded = padded_to_8(kv.head_dim);
    tile_ = {memory, memory + index_t{tile_keys} * padded, 0, kv.head_dim, padded};
    std::fill_n(memory, floats(kv.head_dim), 0.0F);
  }

  /// Tokens [first, first + count), count <= 64.
  kv_tile const& range(int first, int count) {
    return fill(count, [first](int j) { return first + j; });
  }

  /// Tokens list[0 .. count), count <= 64.
  kv_tile const& gathered(int const* list, int count) {
    return fill(count, [list](int j) { return list[j]; });
  }

 private:
  template <class Key>
  kv_tile const& fill(int count, Key&& key) {
    index_t const padded = tile_.padded_dim;
    for (int j = 0; j < count; ++j) {
      unpack_(kv_.key(key(j), kv_head_), tile_.k + j * padded, tile_.dim);
      unpack_(kv_.value(key(j), kv_head_), tile_.v + j * padded, tile_.dim);
    }
    // What an earlier, fuller tile left must not meet a weight of zero as infinity or NaN.
    if (count < tile_.keys) {
      std::fill_n(tile_.k + count * padded, (tile_.keys - count) * padded, 0.0F);
      std::fill_n(tile_.v + count * padded, (tile_.keys - count) * padded, 0.0F);
    }
    tile_.keys = count;
    return tile_;
  }

  unpack_function* unpack_;
  stored_kv kv_;
  int kv_head_;
  kv_tile tile_{};
};

/// What a unit works on: its lane tiles and the scratch around them.
struct unit_tiles_on {
  std::vector<lane_tile> tiles;
  kv_tile_loader loader;
  float* scores;

  unit_tiles_on(cpu const& b, stored_prefill_job const& job, head_rows const& rows, work_unit const& unit)
      : loader(b, job.kv, rows.kv_head, memory(job.kv.head_dim)),
        scores(memory(job.kv.head_dim) + kv_tile_loader::floats(job.kv.head_dim)) {
    float* at = scores + tile_keys * tile_lanes;
    for (int first = 0; first < unit.lanes; first += tile_lanes) {
      tiles.emplace_back(job, rows.heads, unit.first_lane + first, std::min(tile_lanes, unit.lanes - first), at);
      at += lane_tile::floats(job.kv.head_dim);
    }
  }

 private:
  static float* memory(int dim) {
    return thread_scratch<unit_tiles_on>(kv_tile_loader::floats(dim) + tile_keys * tile_lanes + unit_tiles * lane_tile::floats(dim));
  }
};

using attend_tile_function = void(lane_tile_state, kv_tile, std::uint64_t const*, float*);

inline attend_tile_function* choose_attend_tile(cpu const& b) {
  return choose(b.isa_level(), baseline::attend_tile, avx2::attend_tile, avx512::attend_tile);
}

/// Everything that the unit's lanes see, a key tile after the other from the first.
inline void attend_unit_dense(cpu const& b, stored_prefill_job const& job, head_rows const& rows, work_unit const& unit) {
  unit_tiles_on work(b, job, rows, unit);
  auto* const attend = choose_attend_tile(b);
  int const last = work.tiles.back().last_position();
  int first = work.tiles.front().first_position();
  first = job.window > 0 ? std::max(0, first - job.window + 1) : 0;
  for (int key = first / tile_keys * tile_keys; key <= last; key += tile_keys) {
    int const count = std::min(tile_keys, last + 1 - key);
    auto const& tile = work.loader.range(key, count);
    for (auto const& lanes : work.tiles) {
      std::uint64_t masks[tile_keys] = {};
      std::uint64_t any = 0;
      for (int j = 0; j < count; ++j) { any |= masks[j] = lanes.seeing(key + j); }
      if (any != 0) { attend(lanes.state(), tile, masks, work.scores); }
    }
  }
  for (auto const& lanes : work.tiles) { lanes.write(job); }
}

}  // namespace loopserve::detail
