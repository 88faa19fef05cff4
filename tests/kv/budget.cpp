// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <loopserve/kv/any_compressor.hpp>
#include <loopserve/ops/cpu/cpu.hpp>

namespace ls = loopserve;

namespace {

ls::reference backend(1);

ls::kv_budget share_of(double share) {
  ls::kv_budget b;
  b.share = share;
  return b;
}

template <class Policy>
void refused(ls::kv_budget budget, char const* sentence) {
  typename Policy::options o;
  o.budget = budget;
  CHECK_THROWS_WITH_AS(Policy(backend, o), sentence, ls::error);
}

}  // namespace

TEST_CASE("a budget is a number of tokens or a share of the context, rounded down") {
  CHECK(ls::kv_budget(512).at(100) == 512);
  CHECK(ls::kv_budget::of_context(0.1).at(3000) == 300);
  CHECK(ls::kv_budget::of_context(1).at(77) == 77);
  CHECK(ls::kv_budget(31).scaled(0.5).at(100) == 15);
}

TEST_CASE("a share of the context that is none is refused where it is written") {
  for (double const share : {0.0, -0.5, 2.0, std::numeric_limits<double>::infinity(), std::nan("")}) { CHECK_THROWS_AS(ls::kv_budget::of_context(share), ls::error); }
  CHECK_THROWS_WITH_AS(ls::kv_budget::of_context(2), "kv_budget::of_context: expected a share above 0 and at most 1, found 2.000000", ls::error);
}

TEST_CASE("every policy refuses a budget that leaves nothing to attend to, and names itself") {
  refused<ls::sink_window<ls::reference>>(0, "sink_window: budget: expected at least 1 token, found 0");
  refused<ls::progressive<ls::reference>>(-3, "progressive: budget: expected at least 1 token, found -3");
  refused<ls::with_recall<ls::progressive<ls::reference>>>(0, "with_recall: budget: expected at least 1 token, found 0");
  refused<ls::with_recall<ls::sink_window<ls::reference>>>(share_of(1.5), "with_recall: budget.share: expected a share above 0 and at most 1, found 1.500000");
  refused<ls::progressive<ls::reference>>(share_of(-0.1), "progressive: budget.share: expected a share above 0 and at most 1, found -0.100000");
  CHECK_THROWS_AS(ls::sink_window<ls::reference>(backend, {.budget = share_of(std::nan(""))}), ls::error);
  ls::any_compressor_options chosen;
  chosen.budget = 0;
  CHECK_THROWS_AS(ls::any_compressor<ls::reference>(backend, chosen), ls::error);
}

TEST_CASE("all of the context, and less of the budget than a token for the wrapped policy, are budgets") {
  CHECK_NOTHROW(ls::progressive<ls::reference>(backend, {.budget = ls::kv_budget::of_context(1)}));
  CHECK_NOTHROW(ls::with_recall<ls::progressive<ls::reference>>(backend, {.budget = 1, .core_share = 0}));
}

TEST_CASE("a negative number of threads is refused") {
  CHECK_THROWS_WITH_AS(ls::reference(-1), "threads: expected 0 (as many as the machine has) or more, found -1", ls::error);
  CHECK_THROWS_AS(ls::cpu(-2), ls::error);
  CHECK(ls::reference(3).threads() == 3);
}
