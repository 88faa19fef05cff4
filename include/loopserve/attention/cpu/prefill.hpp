// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <loopserve/attention/cpu/head_lines.hpp>
#include <loopserve/attention/cpu/prefill_tiles.hpp>
#include <loopserve/attention/cpu/scattered_slashes.hpp>
#include <loopserve/attention/prefill_rows.hpp>

namespace loopserve::detail {

/// One head's lines for some of its rows: verticals in gathered tiles, bands in tiles of neighbours, then the scattered slashes of each row.
inline void attend_unit_lines(cpu const& b, stored_prefill_job const& job, head_rows const& rows, work_unit const& unit, head_lines const& lines) {
  unit_tiles_on work(b, job, rows, unit);
  auto* const attend = choose_attend_tile(b);
  int const first = work.tiles.front().first_position();
  int const last = work.tiles.back().last_position();
  int const oldest = first_visible(first, job.window);

  int const* const v_end = std::upper_bound(lines.verticals, lines.verticals + lines.vertical_count, last);
  for (int const* v = lines.verticals; v < v_end; v += tile_keys) {
    int const count = static_cast<int>(std::min<std::ptrdiff_t>(tile_keys, v_end - v));
    if (v[count - 1] < oldest) { continue; }
    auto const& tile = work.loader.gathered(v, count);
    for (auto const& lanes : work.tiles) {
      std::uint64_t masks[tile_keys] = {};
      std::uint64_t any = 0;
      for (int j = 0; j < count; ++j) {
        auto const seeing = lanes.seeing(v[j]);
        if (seeing != 0) { any |= masks[j] = seeing & ~lines.slashes.from(std::max(-tile_lanes, lanes.first_position() - v[j])); }
      }
      if (any != 0) { attend(lanes.state(), tile, masks, work.scores); }
    }
  }

  for (int key = oldest / tile_keys * tile_keys; key <= last; key += tile_keys) {
    int const count = std::min(tile_keys, last + 1 - key);
    if (!lines.any_band(first - (key + count - 1), last - key)) { continue; }
    auto const& tile = work.loader.range(key, count);
    for (auto const& lanes : work.tiles) {
      if (!lines.any_band(lanes.first_position() - (key + count - 1), lanes.last_position() - key)) { continue; }
      std::uint64_t masks[tile_keys] = {};
      std::uint64_t any = 0;
      for (int j = 0; j < count; ++j) {
        auto const seeing = lanes.seeing(key + j);
        if (seeing != 0) { any |= masks[j] = seeing & lines.banded.from(std::max(-tile_lanes, lanes.first_position() - key - j)); }
      }
      if (any != 0) { attend(lanes.state(), tile, masks, work.scores); }
    }
  }

  if (!lines.scattered.empty()) {
    scattered_slashes slashes(job, rows.kv_head, lines.scattered);
    for (auto const& lanes : work.tiles) { slashes.attend(lanes); }
  }
  for (auto const& lanes : work.tiles) { lanes.write(job); }
}

/// Jobs without a plan, and the heads of a plan that are dense in it, see everything.
inline void attend_prefill(cpu const& b, std::span<stored_prefill_job const> jobs) {
  std::vector<head_rows> rows;
  std::vector<int> lines_of;  // for each of `rows`: its head_lines, -1 for dense
  index_t all_lanes = 0;
  int sparse_heads = 0;
  for (int j = 0; j < static_cast<int>(jobs.size()); ++j) {
    auto const& job = jobs[static_cast<std::size_t>(j)];
    if (job.q.extent(0) == 0) { continue; }
    int const group = static_cast<int>(job.q.extent(1)) / job.kv.kv_heads;
    all_lanes += job.q.extent(0) * job.q.extent(1);
    for (int kv_head = 0; kv_head < job.kv.kv_heads; ++kv_head) {
      head_rows dense{j, kv_head, {}};
      for (int h = kv_head * group; h < (kv_head + 1) * group; ++h) {
        if (job.plan == nullptr || job.plan->dense[h] != 0) {
          dense.heads.push_back(h);
        } else {
          rows.push_back({j, kv_head, {h}});
          lines_of.push_back(sparse_heads++);
        }
      }
      if (!dense.heads.empty()) {
        rows.push_back(std::move(dense));
        lines_of.push_back(-1);
      }
    }
  }
  // Costs in cells of a full tile, measured; where rows do not fill a vector's lanes, a tile's cell costs more and a row's own cell does not.
  std::vector<std::vector<head_lines>> lines(static_cast<std::size_t>(sparse_heads));
  parallel_for(b.threads(), static_cast<index_t>(rows.size()), [&](index_t r) {
    int const at = lines_of[static_cast<std::size_t>(r)];
    if (at < 0) { return; }
    auto const& of = rows[static_cast<std::size_t>(r)];
    auto const& plan = *jobs[static_cast<std::size_t>(of.job)].plan;
    double const filled = std::min(plan.rows, 16) / 16.0;
    lines[static_cast<std::size_t>(at)].emplace_back(plan, of.heads[0], 14.0, 5.0 * filled);
  });
  std::vector<work_unit> units;
  for (int r = 0; r < static_cast<int>(rows.size()); ++r) {
    auto const& of = rows[static_cast<std::size_t>(r)];
    int const lanes = static_cast<int>(jobs[static_cast<std::size_t>(of.job)].q.extent(0)) * static_cast<int>(of.heads.size());
    add_units(units, r, lanes, tiles_together(all_lanes, b.threads()));
  }
  parallel_for(b.threads(), static_cast<index_t>(units.size()), [&](index_t u) {
    auto const& unit = units[static_cast<std::size_t>(u)];
    auto const& of = rows[static_cast<std::size_t>(unit.rows_of)];
    auto const& job = jobs[static_cast<std::size_t>(of.job)];
    int const at = lines_of[static_cast<std::size_t>(unit.rows_of)];
    if (at < 0) {
      attend_unit_dense(b, job, of, unit);
    } else {
      attend_unit_lines(b, job, of, unit, lines[static_cast<std::size_t>(at)].front());
    }
  });
}

}  // namespace loopserve::detail
