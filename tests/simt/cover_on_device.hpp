// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include <loopserve/ops/cover_lines.cuh>
#include <loopserve/testing/cover_laws.hpp>

#include "device_test.hpp"

namespace loopserve::device_test {

/// A cover of one head, with what lies around it untouched.
template <class B>
testing::made_cover cover_on(B const& b, testing::cover_case const& c, cover_options const& o) {
  auto const keys = static_cast<std::size_t>(c.keys);
  auto const a = on_device(b, c.a);
  auto verticals = on_device(b, std::vector<int>(keys, -7)), slashes = on_device(b, std::vector<int>(keys, -7)),
       counts = on_device(b, std::vector<int>{-7, -7});
  auto dense = on_device(b, std::vector<unsigned char>{2});
  auto covered = on_device(b, std::vector<float>{-7});
  cover_lines(b, tensor_view<float const, 2>(a.data(), {static_cast<index_t>(c.positions.size()), c.keys}), c.positions, c.rows, o,
              {verticals.data(), slashes.data(), counts.data(), counts.data() + 1, dense.data(), covered.data(), nullptr});
  testing::made_cover made;
  auto const count = on_host(b, counts);
  made.verticals = on_host(b, verticals);
  made.slashes = on_host(b, slashes);
  for (int kind = 0; kind < 2; ++kind) {
    auto& list = kind == 0 ? made.verticals : made.slashes;
    auto const end = list.begin() + count[static_cast<std::size_t>(kind)];
    CHECK(std::all_of(end, list.end(), [](int line) { return line == -7; }));
    list.erase(end, list.end());
  }
  made.dense = on_host(b, dense)[0] == 1;
  made.covered = on_host(b, covered)[0];
  return made;
}

inline index_t cost_of(testing::cover_case const& c, testing::made_cover const& made) {
  index_t cost = 0;
  for (auto const* list : {&made.verticals, &made.slashes}) {
    for (int const line : *list) { cost += line_length(line, c.rows, c.keys); }
  }
  return cost;
}

}  // namespace loopserve::device_test
