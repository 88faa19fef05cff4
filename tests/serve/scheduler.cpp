// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <initializer_list>
#include <vector>

#include <loopserve/serve/scheduler.hpp>
#include <loopserve/testing/scheduler_laws.hpp>

using namespace loopserve;

namespace {

std::vector<int> numbers(std::vector<sequence_id> const& ids) {
  std::vector<int> list;
  for (auto id : ids) { list.push_back(raw(id)); }
  return list;
}

turn_status waiting(int id, int chunk) { return {sequence_id(id), false, chunk}; }
turn_status answering(int id) { return {sequence_id(id), true, 0}; }

}  // namespace

TEST_CASE("first come first served takes the oldest chunk, and further ones while the budget lasts") {
  fcfs s({.token_budget = 1000, .max_decode = 64});
  std::vector<turn_status> const turns{waiting(1, 600), waiting(2, 600), waiting(3, 300)};
  CHECK(numbers(s.plan(turns).prefill) == std::vector<int>{1, 3});
  CHECK(numbers(s.plan(turns).decode).empty());
}

TEST_CASE("a chunk larger than the budget still runs") {
  fcfs s({.token_budget = 10, .max_decode = 64});
  std::vector<turn_status> const turns{waiting(7, 2048)};
  CHECK(numbers(s.plan(turns).prefill) == std::vector<int>{7});
}

TEST_CASE_TEMPLATE("answers advance together, up to the limit, and count against the budget", S, fcfs, round_robin) {
  S s({.token_budget = 5, .max_decode = 2});
  std::vector<turn_status> const turns{answering(1), answering(2), answering(3), waiting(4, 3), waiting(5, 1)};
  auto const plan = s.plan(turns);
  CHECK(plan.decode.size() == 2);
  CHECK(plan.prefill.size() == 1);
}

TEST_CASE("in round robin a short question does not wait behind a long document") {
  round_robin s({.token_budget = 2048, .max_decode = 64});
  std::vector<turn_status> const turns{waiting(1, 2048), waiting(2, 100)};
  CHECK(numbers(s.plan(turns).prefill) == std::vector<int>{1});
  CHECK(numbers(s.plan(turns).prefill) == std::vector<int>{2});
}

/// Forgets all but the first turn while that one lasts, and then names none.
struct stuck : fcfs {
  using fcfs::fcfs;
  step_plan plan(std::span<turn_status const> turns) const { return raw(turns[0].id) == 100 ? fcfs::plan(turns.first(1)) : step_plan{}; }
};

TEST_CASE_TEMPLATE("the laws hold, also under tight limits", S, fcfs, round_robin) {
  CHECK_NOTHROW(testing::scheduler_laws<S>());
  CHECK_NOTHROW(testing::scheduler_laws<S>({.token_budget = 1, .max_decode = 1}));
}

TEST_CASE("a scheduler that forgets turns breaks them") { CHECK_THROWS_AS(testing::scheduler_laws<stuck>(), testing::law_broken); }
