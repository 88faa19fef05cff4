// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include <loopserve/prefill/line_plan.hpp>

namespace loopserve::detail {

/// A set of offsets as a bit string, from which 64 neighbours are read at once.
class offset_bits {
 public:
  explicit offset_bits(int keys) : words_(static_cast<std::size_t>(keys) / 64 + 4, 0) {}

  void insert(int offset) { words_[static_cast<std::size_t>(offset + margin) / 64] |= std::uint64_t{1} << ((offset + margin) % 64); }

  /// Bit l says whether `offset + l` is in the set; offset >= -64. What lies beyond the keys is not in it.
  std::uint64_t from(int offset) const {
    auto const at = static_cast<std::size_t>(offset + margin);
    auto const low = words_[at / 64] >> (at % 64);
    return at % 64 == 0 ? low : low | words_[at / 64 + 1] << (64 - at % 64);
  }

 private:
  static constexpr int margin = 64;
  std::vector<std::uint64_t> words_;
};

/// How one head's plan is attended: verticals as gathered key tiles, slashes that stand close together as bands of key tiles, the others row by row.
struct head_lines {
  struct band {
    int low;   ///< offsets, both included
    int high;
  };
  int head;
  int const* verticals;
  int vertical_count;
  std::vector<band> bands;     ///< ascending, apart
  std::vector<int> scattered;  ///< offsets, ascending
  offset_bits slashes;         ///< all of them: a vertical's cell on one is not its own
  offset_bits banded;          ///< those that lie in bands

  /// `band_edge`: what a band costs beyond its width, in cells a row; `scattered_cost`: a cell attended row by row, measured in cells of a tile.
  head_lines(line_plan_view const& plan, int h, double band_edge, double scattered_cost)
      : head(h), verticals(plan.verticals + h * plan.stride), vertical_count(plan.vertical_counts[h]), slashes(plan.keys), banded(plan.keys) {
    int const* const s = plan.slashes + h * plan.stride;
    int const n = plan.slash_counts[h];
    // Cheapest split of s[0 .. i) by dynamic programming: s[i - 1] is scattered, or the last of a band that starts at some s[j].
    std::vector<double> cost(static_cast<std::size_t>(n) + 1, 0.0);
    std::vector<int> band_from(static_cast<std::size_t>(n) + 1, -1);
    double open = std::numeric_limits<double>::infinity();  // least cost[j] - s[j] over j < i
    int open_from = -1;
    for (int i = 1; i <= n; ++i) {
      auto const at = static_cast<std::size_t>(i);
      if (cost[at - 1] - s[i - 1] < open) {
        open = cost[at - 1] - s[i - 1];
        open_from = i - 1;
      }
      double const as_band = open + s[i - 1] + 1 + band_edge;
      cost[at] = cost[at - 1] + scattered_cost;
      if (as_band < cost[at]) {
        cost[at] = as_band;
        band_from[at] = open_from;
      }
      slashes.insert(s[i - 1]);
    }
    for (int i = n; i > 0;) {
      int const from = band_from[static_cast<std::size_t>(i)];
      if (from < 0) {
        scattered.push_back(s[--i]);
      } else {
        bands.push_back({s[from], s[i - 1]});
        while (i > from) { banded.insert(s[--i]); }
      }
    }
    std::reverse(bands.begin(), bands.end());
    std::reverse(scattered.begin(), scattered.end());
  }

  /// Whether a band has an offset in [low, high].
  bool any_band(int low, int high) const {
    auto const it = std::lower_bound(bands.begin(), bands.end(), low, [](band const& b, int bound) { return b.high < bound; });
    return it != bands.end() && it->low <= high;
  }
};

}  // namespace loopserve::detail
