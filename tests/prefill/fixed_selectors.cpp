// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <loopserve/prefill/a_shape.hpp>
#include <loopserve/prefill/dense_prefill.hpp>

using namespace loopserve;

static_assert(prefill_selector<a_shape<reference>> && prefill_selector<dense_prefill<reference>>);

namespace {

/// Selects for `rows` rows at the end of `keys` keys of two heads; what is in them does not matter here.
template <class Selector>
line_plan<reference> planned(reference& b, typename Selector::options o, int rows, int keys) {
  Selector s(b, o);
  line_plan<reference> plan(b);
  plan.reset(2, rows, keys);
  s.select(prefill_site{}, tensor_view<float const, 3>{}, kv_view<float>{}, plan.view());
  return plan;
}

}  // namespace

TEST_CASE("dense keeps every causal cell") {
  reference b;
  auto plan = planned<dense_prefill<reference>>(b, {}, 3, 10);
  CHECK(union_cells(plan.view(), 0) == 8 + 9 + 10);
  CHECK(plan.view().covered[1] == 1.0F);
}

TEST_CASE("a_shape keeps sinks and a window, and counts their overlap once") {
  reference b;
  auto plan = planned<a_shape<reference>>(b, {.sinks = 2, .local = 3}, 6, 6);
  // Row p sees keys 0 and 1 and p-2, p-1, p: 1, 2, 3, 4, 5, 5 cells.
  CHECK(union_cells(plan.view(), 0) == 20);
  CHECK(union_cells(plan.view(), 1) == 20);
  CHECK(std::isnan(plan.view().covered[0]));
}

TEST_CASE("a_shape over a long history has the same cells in every row") {
  reference b;
  auto plan = planned<a_shape<reference>>(b, {.sinks = 4, .local = 16}, 5, 1000);
  CHECK(union_cells(plan.view(), 1) == 5 * 20);
}

TEST_CASE("a_shape larger than the context is all of it") {
  reference b;
  auto plan = planned<a_shape<reference>>(b, {}, 7, 50);
  CHECK(union_cells(plan.view(), 0) == causal_cells(7, 50));
}

TEST_CASE("a row that would not see itself is refused") {
  reference b;
  CHECK_THROWS_AS(a_shape<reference>(b, {.sinks = 1, .local = 0}), error);
  CHECK_THROWS_AS(a_shape<reference>(b, {.sinks = -1, .local = 1}), error);
}
