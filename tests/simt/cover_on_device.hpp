// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include <loopserve/ops/cover_lines.cuh>
#include <loopserve/testing/cover_laws.hpp>

#include "device_test.hpp"

namespace loopserve::device_test {

/// What `cover(cover_heads_view)` writes of some heads, with what lies around it untouched.
template <class B, class Cover>
std::vector<testing::made_cover> made_on(B const& b, int heads, int keys, Cover cover) {
  auto const n = static_cast<std::size_t>(heads), stride = static_cast<std::size_t>(keys) + 3;
  auto verticals = on_device(b, std::vector<int>(n * stride, -7)), slashes = on_device(b, std::vector<int>(n * stride, -7)),
       vertical_counts = on_device(b, std::vector<int>(n, -7)), slash_counts = on_device(b, std::vector<int>(n, -7));
  auto dense = on_device(b, std::vector<unsigned char>(n, 2));
  auto covered = on_device(b, std::vector<float>(n, -7));
  cover(cover_heads_view{static_cast<index_t>(stride), verticals.data(), slashes.data(), vertical_counts.data(), slash_counts.data(),
                         dense.data(), covered.data()});
  auto const said_dense = on_host(b, dense);
  auto const said_covered = on_host(b, covered);
  std::vector<testing::made_cover> made(n);
  for (std::size_t h = 0; h < n; ++h) {
    auto const list_of = [&](auto const& lines, auto const& counts) {
      auto const all = on_host(b, lines);
      auto const first = all.begin() + static_cast<std::ptrdiff_t>(h * stride), end = first + on_host(b, counts)[h];
      CHECK(std::all_of(end, first + static_cast<std::ptrdiff_t>(stride), [](int line) { return line == -7; }));
      return std::vector<int>(first, end);
    };
    made[h].verticals = list_of(verticals, vertical_counts);
    made[h].slashes = list_of(slashes, slash_counts);
    CHECK(said_dense[h] < 2);
    made[h].dense = said_dense[h] == 1;
    made[h].covered = said_covered[h];
  }
  return made;
}

/// A cover of one head.
template <class B>
testing::made_cover cover_on(B const& b, testing::cover_case const& c, cover_options const& o) {
  auto const a = on_device(b, c.a);
  return made_on(b, 1, c.keys, [&](cover_heads_view out) {
    cover_lines(b, tensor_view<float const, 2>(a.data(), {static_cast<index_t>(c.positions.size()), c.keys}), c.positions, c.rows, o,
                {out.verticals, out.slashes, out.vertical_counts, out.slash_counts, out.dense, out.covered, nullptr});
  })[0];
}

/// The positions of heads of one shape, one behind the other.
inline std::vector<int> positions_of(std::vector<testing::cover_case> const& heads) {
  std::vector<int> positions;
  for (auto const& c : heads) { positions.insert(positions.end(), c.positions.begin(), c.positions.end()); }
  return positions;
}

inline index_t cost_of(testing::cover_case const& c, testing::made_cover const& made) {
  index_t cost = 0;
  for (auto const* list : {&made.verticals, &made.slashes}) {
    for (int const line : *list) { cost += line_length(line, c.rows, c.keys); }
  }
  return cost;
}

}  // namespace loopserve::device_test
