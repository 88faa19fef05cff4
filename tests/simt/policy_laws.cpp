// SPDX-License-Identifier: Apache-2.0
/// The KV policies that do not recall keep the laws on a device.
#include "policies_on_device.hpp"

#include <array>
#include <utility>
#include <vector>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// Keeps one more token than it says.
struct says_less : progressive<device> {
  using base = progressive<device>;
  using base::base;
  says_less(base b) : base(std::move(b)) {}
  kv_budget budget() const { return base::budget().tokens - 1; }
  says_less fork() const { return base::fork(); }
};

/// Its forks have observed nothing.
struct forks_forget : progressive<device> {
  using base = progressive<device>;
  using base::base;
  forks_forget(base b) : base(std::move(b)) {}
  forks_forget fork() const {
    auto copy = base::fork();
    copy.truncate(0);
    return forks_forget(std::move(copy));
  }
};

}  // namespace

TEST_CASE("keep_all keeps the laws on a device") { keeps_the_laws<keep_all<device>, bf16>({}); }

TEST_CASE("sink_window keeps the laws on a device") {
  keeps_the_laws<sink_window<device>, f16>({.budget = 30});
  keeps_the_laws<sink_window<device>, float>({.budget = 2});
}

TEST_CASE("sink_window keeps on a device what it keeps on the host") {
  constexpr int heads = 3, stride = 301;
  std::vector<int> const rows(heads * stride, -7), counts(heads, -7);
  for (auto const& sizes : {std::array{10, 4, 9}, {1000, 4, 300}, {5, 0, 1}, {400, 200, 200}, {129, 4, 128}}) {
    int const context = sizes[0], sinks = sizes[1], budget = sizes[2];
    auto want = rows, want_counts = counts;
    keep_ends(reference(1), kept_rows_view{heads, stride, want.data(), want_counts.data()}, context, sinks, budget);
    each_device([&](auto const& b) {
      auto there = on_device(b, rows), its = on_device(b, counts);
      keep_ends(b, kept_rows_view{heads, stride, there.data(), its.data()}, context, sinks, budget);
      CHECK(on_host(b, there) == want);
      CHECK(on_host(b, its) == want_counts);
    });
  }
}

TEST_CASE("progressive keeps the laws on a device, and a needle that the answer asks for returns") {
  keeps_the_laws<progressive<device>, f16>({.budget = 30, .interval = 4});
  keeps_the_laws<progressive<device>, bf16>({.budget = kv_budget::of_context(0.2), .interval = 4, .recent = 3, .bootstrap = true});
  keeps_the_laws<progressive<device>, float>({.budget = 40, .interval = 4, .reduce = head_reduce::max, .pool = 3, .value_norm = true});
}

TEST_CASE("a policy on a device that breaks a law is told") {
  each_device(
      [](auto const& made) {
        device b = made;
        CHECK_THROWS_AS((testing::law_kept_lists<says_less, f16>(b, {.budget = 30, .interval = 4}, extent)), testing::law_broken);
        CHECK_THROWS_AS((testing::law_forks_are_apart<forks_forget, f16>(b, {.budget = 30, .interval = 4}, extent)), testing::law_broken);
        CHECK_THROWS_AS((testing::law_needle_returns<sink_window<device>, f16>(b, {.budget = 30}, extent)), testing::law_broken);
      },
      1);
}
