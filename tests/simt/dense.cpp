// SPDX-License-Identifier: Apache-2.0
#include "device_test.hpp"

#include <deque>

#include <loopserve/attention/dense.cuh>
#include <loopserve/testing/attention_cases.hpp>

#include "prefill_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;
using testing::kv_layout;
using testing::plan_shape;
using testing::prefill_case;

namespace {

/// Dense attention as it is called, in tiles of the shape that suits the batch.
struct as_called {
  template <class B, class Element>
  void operator()(B const& b, std::span<prefill_job<Element> const> jobs) const {
    attend_dense(b, jobs);
  }
};

/// In tiles of 128 rows, however few there are.
struct in_wide_tiles {
  template <class B, class Element>
  void operator()(B const& b, std::span<prefill_job<Element> const> jobs) const {
    detail::with_prefill_records(
        b, jobs, [&](auto const* records, prefill_bounds const& most) { detail::attend_dense_in<detail::wide_tile>(b, records, most); });
  }
};

/// One batch of all these cases, each held against the reference: with numbers that no rounding changes, and with any numbers.
template <class Element, class Attend = as_called>
void check_batch(std::vector<prefill_case> const& cases, Attend attend = {}) {
  std::deque<testing::prefill_world<Element>> worlds;
  std::vector<prefill_job<Element>> host;
  for (auto const& shape : cases) { host.push_back(worlds.emplace_back(shape).job()); }
  auto const check = [&](std::vector<double> const& bounds) {
    attend_dense(reference(2), std::span<prefill_job<Element> const>(host));
    each_device([&](auto const& b) {
      batch_on_device const on(b, std::span<prefill_job<Element> const>(host));
      attend(b, on.jobs());
      for (std::size_t i = 0; i < cases.size(); ++i) {
        INFO(name_of(cases[i]));
        CHECK(worst(on.out(b, i), dense(host[i].out)) <= bounds[i]);
      }
    });
  };
  std::vector<double> bounds;
  for (auto const& job : host) { bounds.push_back(bound_of(job)); }
  check(bounds);
  for (auto const& job : host) { make_exact(job); }
  check(std::vector<double>(cases.size(), exact));
}

}  // namespace

TEST_CASE_TEMPLATE("dense prefill attention is the reference's for a ragged batch of new rows over their history", Element, float, bf16,
                   f16) {
  check_batch<Element>({{70, 150, 4, 2, 64, plan_shape::none, 0, kv_layout::paged},
                        {1, 30, 4, 2, 64, plan_shape::none, 0, kv_layout::token_major},
                        {33, 33, 2, 1, 24, plan_shape::none, 0, kv_layout::head_major},
                        {1, 1, 1, 1, 128, plan_shape::none, 0, kv_layout::token_major},
                        {19, 101, 2, 2, 128, plan_shape::none, 0, kv_layout::paged}});
}

TEST_CASE("any number of query heads a KV head") {
  for (int const ratio : {1, 2, 3, 4, 5, 6, 7, 8}) {
    check_batch<bf16>({{5, 40, 2 * ratio, 2, 24, plan_shape::none, 0, kv_layout::paged}});
  }
}

TEST_CASE("every head_dim that is a multiple of 8 up to 256") {
  for (int const dim : {8, 40, 72, 96, 136, 256}) { check_batch<bf16>({{18, 45, 2, 1, dim, plan_shape::none, 0, kv_layout::token_major}}); }
  check_batch<float>(
      {{17, 45, 2, 1, 256, plan_shape::none, 0, kv_layout::paged}, {3, 9, 4, 4, 136, plan_shape::none, 0, kv_layout::head_major}});
}

TEST_CASE_TEMPLATE("tensor cores take heads of 32, 64, 96 and 128, through more tiles of keys than lie in shared memory", Element, bf16,
                   f16) {
  for (int const dim : {32, 64, 96, 128}) {
    check_batch<Element>({{67, 330, 2, 1, dim, plan_shape::none, 0, kv_layout::paged}});
    check_batch<Element>({{83, 330, 2, 1, dim, plan_shape::none, 0, kv_layout::token_major}}, in_wide_tiles{});
  }
}

TEST_CASE("a row with a window sees the last keys up to itself only") {
  check_batch<bf16>({{70, 200, 2, 1, 32, plan_shape::none, 50, kv_layout::paged},
                     {40, 90, 1, 1, 32, plan_shape::none, 1, kv_layout::token_major},
                     {40, 80, 2, 1, 24, plan_shape::none, 1000, kv_layout::head_major}});
}

TEST_CASE("any number of query heads a KV head in tiles of 128 rows of all of them") {
  for (int const ratio : {1, 3, 4, 8}) { check_batch<bf16>({{45, 150, 2 * ratio, 2, 32, plan_shape::none, 0, kv_layout::paged}}, in_wide_tiles{}); }
  check_batch<f16>({{300, 300, 2, 2, 32, plan_shape::none, 0, kv_layout::head_major},
                    {1, 700, 8, 1, 32, plan_shape::none, 0, kv_layout::paged},
                    {7, 2000, 8, 2, 32, plan_shape::none, 90, kv_layout::token_major},
                    {129, 140, 4, 1, 32, plan_shape::none, 0, kv_layout::paged}},
                   in_wide_tiles{});
}

TEST_CASE("a tile that begins and ends within a group of query heads sees the last of its rows' own key") {
  check_batch<bf16>({{27, 40, 5, 1, 32, plan_shape::none, 0, kv_layout::paged}});                   // rows 64 .. 127: heads 4 .. 2
  check_batch<bf16>({{87, 100, 3, 1, 32, plan_shape::none, 0, kv_layout::paged}}, in_wide_tiles{});  // rows 128 .. 255: heads 2 .. 0
}

TEST_CASE("windows in tiles of 128 rows: keys that end within a tile, a window of one key, of all but one, one that hides nothing") {
  check_batch<bf16>({{150, 300, 2, 1, 32, plan_shape::none, 50, kv_layout::paged},
                     {140, 290, 4, 1, 32, plan_shape::none, 129, kv_layout::token_major},
                     {40, 90, 3, 1, 32, plan_shape::none, 1, kv_layout::token_major},
                     {33, 60, 1, 1, 32, plan_shape::none, 59, kv_layout::paged},
                     {70, 80, 2, 1, 32, plan_shape::none, 1000, kv_layout::head_major}},
                    in_wide_tiles{});
}

TEST_CASE("a row's bits depend neither on the batch, nor on how the rows are cut, nor on the tiles") {
  for (int const window : {0, 45}) {
    testing::prefill_world<bf16> world({75, 140, 2, 1, 32, plan_shape::none, window, kv_layout::paged}), other({9, 9, 4, 1, 64});
    each_device([&](auto const& b) {
      using on_b = prefill_on_device<std::remove_cvref_t<decltype(b)>, bf16>;
      auto const of = [&](std::vector<prefill_job<bf16>> const& jobs, auto attend, on_b const& on) {
        attend(b, std::span<prefill_job<bf16> const>(jobs));
        return on.out(b);
      };
      on_b whole(b, world.job()), beside(b, other.job());
      auto const bits = of({beside.job(), whole.job()}, as_called{}, whole);
      CHECK(of({whole.job()}, in_wide_tiles{}, whole) == bits);
      for (int const wide : {0, 1}) {
        std::vector<float> parts;
        for (auto const& [first, count] : {std::pair{0, 13}, std::pair{13, 62}}) {
          auto part = world.job();
          part.q = part.q.rows(first, count);
          part.out = part.out.rows(first, count);
          part.kv = part.kv.slice(0, 65 + first + count);
          on_b on(b, part);
          auto const rows = wide != 0 ? of({on.job()}, in_wide_tiles{}, on) : of({on.job()}, as_called{}, on);
          parts.insert(parts.end(), rows.begin(), rows.end());
        }
        CHECK(parts == bits);
      }
    });
  }
}

TEST_CASE("a batch of many tiles is taken in tiles of 128 rows") {
  CHECK(detail::rows_are_many(128));
  CHECK(!detail::rows_are_many(127));
  check_batch<bf16>({{65, 70, 64, 64, 32, plan_shape::none, 0, kv_layout::paged}, {20, 20, 64, 64, 32, plan_shape::none, 0, kv_layout::token_major}});
}

TEST_CASE("shapes that the device does not take are refused before anything is queued; a batch and a job may be empty") {
  each_device([&](auto const& b) {
    attend_dense(b, std::span<prefill_job<bf16> const>{});
    testing::prefill_world<bf16> world({3, 5, 2, 1, 64});
    std::vector<prefill_job<bf16>> jobs{world.job()};
    jobs[0].q = jobs[0].q.rows(0, 0);
    jobs[0].out = jobs[0].out.rows(0, 0);
    attend_dense(b, std::span<prefill_job<bf16> const>(jobs));
    jobs[0] = world.job();
    jobs[0].kv.row_stride = 68;
    CHECK_THROWS_AS(attend_dense(b, std::span<prefill_job<bf16> const>(jobs)), error);
    jobs[0] = world.job();
    jobs[0].kv.tokens = 2;
    CHECK_THROWS_AS(attend_dense(b, std::span<prefill_job<bf16> const>(jobs)), error);
    jobs[0] = world.job();
    jobs[0].q = {jobs[0].q.data() + 1, jobs[0].q.extents(), jobs[0].q.strides()};
    CHECK_THROWS_AS(attend_dense(b, std::span<prefill_job<bf16> const>(jobs)), error);
    jobs[0] = world.job();
    jobs[0].kv.tokens = 1 << 29;
    CHECK_THROWS_AS(attend_dense(b, std::span<prefill_job<bf16> const>(jobs)), error);
    for (int const dim : {12, 264}) {
      testing::prefill_world<bf16> odd({3, 5, 2, 1, dim});
      jobs[0] = odd.job();
      CHECK_THROWS_AS(attend_dense(b, std::span<prefill_job<bf16> const>(jobs)), error);
    }
  });
}
