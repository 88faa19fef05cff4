// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <loopserve/core/error.hpp>
#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/cover_lines.hpp>
#include <loopserve/ops/cover_lines_kernel.hpp>
#include <loopserve/ops/line_mass.cuh>

namespace loopserve {

/// cover_lines for some heads at once. positions (heads, sampled) of the rows of `cells`, ascending. The lines are not those of the reference's greedy:
/// their coverage is at least alpha all the same, and their total length near the greedy's. Four launches, whatever the heads hold; nothing waits. The result
/// does not depend on the order in which a device runs threads and blocks: masses of lines are sums of a fixed order, and sums over lines are exact.
template <device_backend B, class Cells>
void cover_heads(B const& b, Cells const& cells, int heads, int const* positions, int sampled, int rows, int keys, cover_options const& o,
                 cover_heads_view out) {
  check(sampled >= 1 && sampled <= 1024, "cover_lines: a device takes 1 to 1024 sampled rows");
  check(rows >= 1 && rows <= keys, "cover_lines: the new rows are the last of the keys");
  if (heads == 0) { return; }
  using search_type = line_search<Cells>;
  index_t const stride = (index_t{keys} + 15) / 16 * 16, lines = heads * 2 * stride, bins = index_t{heads} * 2 * search_type::levels;
  auto mass = b.template make_buffer<float>(lines);
  auto gains = b.template make_buffer<float>(heads * stride);
  auto taken = b.template make_buffer<unsigned char>(lines);
  auto order = b.template make_buffer<int>(lines);
  auto level = b.template make_buffer<std::uint16_t>(lines);
  auto counted = b.template make_buffer<int>(2 * bins);
  auto uncovered = b.template make_buffer<exact_mass>(heads);
  b.fill(counted.data(), 0, counted.bytes());
  b.fill(uncovered.data(), 0, uncovered.bytes());
  int const sinks = std::clamp(o.sinks, 0, keys), local = std::clamp(o.local, 1, keys);
  search_type const search{
      cells,           positions,   sampled,      rows,         keys,         sinks,        local,          o.by_density,
      stride,          mass.data(), gains.data(), taken.data(), order.data(), level.data(), counted.data(), counted.data() + bins,
      uncovered.data()};
  double const allowed = (1 - o.alpha) * sampled * 0x1p40;
  using sums = line_mass_kernel<Cells>;
  using sort = order_lines_kernel<Cells>;
  b.launch({blocks_for(keys, sums::tile), 2, heads}, sums{search});
  b.launch({blocks_for(keys, sort::tile), 2, heads}, sort{search});
  b.launch({heads}, take_lines_kernel<Cells>{search, allowed > 0 ? static_cast<exact_mass>(allowed) : 0});
  b.launch({heads}, write_lines_kernel<Cells>{search, o.dense_above, out});
}

/// The reference's cover_lines for a device: `a` and what `out` points to lie in its memory, `positions` in the host's. out.result is null.
template <device_backend B>
void cover_lines(B const& b, tensor_view<float const, 2> a, std::span<int const> positions, int rows, cover_options const& o,
                 cover_view out) {
  check(out.result == nullptr, "cover_lines: a device does not say more of a cover than its lines and what they cover");
  check(a.extent(0) == static_cast<index_t>(positions.size()) && a.stride(1) == 1, "cover_lines: a row of a for each position");
  auto there = b.template make_buffer<int>(a.extent(0));
  b.copy_to_device(there.data(), positions.data(), there.bytes());
  auto const keys = static_cast<int>(a.extent(1));
  cover_heads(b, mass_cells{a.data(), a.stride(0)}, 1, there.data(), static_cast<int>(a.extent(0)), rows, keys, o,
              {keys, out.verticals, out.slashes, out.vertical_count, out.slash_count, out.dense, out.covered});
}

}  // namespace loopserve
