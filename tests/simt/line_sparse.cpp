// SPDX-License-Identifier: Apache-2.0
#include "device_test.hpp"

#include <algorithm>
#include <deque>

#include <loopserve/attention/dense.cuh>
#include <loopserve/attention/line_sparse.cuh>
#include <loopserve/testing/attention_laws.hpp>

#include "prefill_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;
using testing::kv_layout;
using testing::plan_shape;
using testing::prefill_case;

namespace {

template <class Element>
using world = testing::prefill_world<Element>;

template <class Element>
std::vector<prefill_job<Element>> jobs_of(std::deque<world<Element>>& worlds) {
  std::vector<prefill_job<Element>> jobs;
  for (auto& w : worlds) { jobs.push_back(w.job()); }
  return jobs;
}

/// One batch of these, each held against the reference: with numbers that no rounding changes, and with any numbers.
template <class Element>
void check_jobs(std::deque<world<Element>>& worlds) {
  auto const host = jobs_of(worlds);
  auto const check = [&](std::vector<double> const& bounds) {
    attend_lines(reference(2), std::span<prefill_job<Element> const>(host));
    each_device([&](auto const& b) {
      batch_on_device const on(b, std::span<prefill_job<Element> const>(host));
      attend_lines(b, on.jobs());
      for (std::size_t i = 0; i < host.size(); ++i) {
        INFO(name_of(worlds[i].shape()));
        CHECK(worst(on.out(b, i), dense(host[i].out)) <= bounds[i]);
      }
    });
  };
  std::vector<double> bounds;
  for (auto const& job : host) { bounds.push_back(bound_of(job)); }
  check(bounds);
  for (auto const& job : host) { make_exact(job); }
  check(std::vector<double>(host.size(), exact));
}

template <class Element>
void check_batch(std::vector<prefill_case> const& cases) {
  std::deque<world<Element>> worlds;
  for (auto const& shape : cases) { worlds.emplace_back(shape); }
  check_jobs(worlds);
}

/// Gives head `h` of the world's plan these lines instead of its own.
template <class Element>
void set_lines(world<Element>& w, int h, std::vector<int> const& verticals, std::vector<int> const& slashes) {
  line_plan_view const plan = *w.job().plan;
  std::copy(verticals.begin(), verticals.end(), plan.verticals + h * plan.stride);
  std::copy(slashes.begin(), slashes.end(), plan.slashes + h * plan.stride);
  plan.vertical_counts[h] = static_cast<int>(verticals.size());
  plan.slash_counts[h] = static_cast<int>(slashes.size());
}

std::vector<int> every(int step, int from, int to) {
  std::vector<int> list;
  for (int i = from; i < to; i += step) { list.push_back(i); }
  return list;
}

}  // namespace

TEST_CASE_TEMPLATE("attention on lines is the reference's for a ragged batch of plans, dense heads and jobs without a plan", Element, float,
                   bf16, f16) {
  using enum plan_shape;
  check_batch<Element>({{70, 200, 4, 2, 64, scattered, 0, kv_layout::paged},
                        {33, 150, 4, 2, 64, mixed, 0, kv_layout::head_major},
                        {1, 30, 4, 2, 64, none, 0, kv_layout::token_major},
                        {19, 301, 2, 2, 128, band_and_verticals, 0, kv_layout::paged},
                        {65, 65, 2, 1, 24, all_verticals, 0, kv_layout::token_major},
                        {40, 90, 2, 1, 24, all_slashes, 0, kv_layout::paged},
                        {1, 1, 1, 1, 128, slash_zero_only, 0, kv_layout::token_major},
                        {1, 170, 1, 1, 64, scattered, 0, kv_layout::paged}});
}

TEST_CASE("any number of query heads a KV head") {
  for (int const ratio : {1, 2, 3, 4, 8}) { check_batch<bf16>({{5, 80, 2 * ratio, 2, 24, plan_shape::mixed, 0, kv_layout::paged}}); }
}

TEST_CASE("every head_dim that is a multiple of 8 up to 256") {
  for (int const dim : {8, 24, 32, 48, 80, 96, 128, 256}) {
    check_batch<bf16>({{37, 110, 2, 1, dim, plan_shape::scattered, 0, kv_layout::token_major}});
  }
  check_batch<float>(
      {{18, 45, 2, 1, 256, plan_shape::scattered, 0, kv_layout::paged}, {3, 9, 4, 4, 136, plan_shape::mixed, 0, kv_layout::head_major}});
}

TEST_CASE_TEMPLATE("tensor cores take heads of 32, 64, 96 and 128, through more tiles of keys than lie in shared memory", Element, bf16,
                   f16) {
  for (int const dim : {32, 64, 96, 128}) { check_batch<Element>({{67, 450, 2, 1, dim, plan_shape::mixed, 0, kv_layout::paged}}); }
}

TEST_CASE("rows of two words: a ragged batch of plans, windows, dense heads, jobs without a plan") {
  using enum plan_shape;
  check_batch<bf16>({{300, 310, 2, 2, 32, scattered, 0, kv_layout::paged},
                     {128, 260, 2, 1, 32, mixed, 0, kv_layout::head_major},
                     {65, 2000, 3, 1, 32, band_and_verticals, 0, kv_layout::paged},
                     {70, 75, 2, 1, 32, none, 0, kv_layout::token_major}});
  check_batch<f16>({{140, 300, 2, 1, 32, band_and_verticals, 50, kv_layout::paged},
                    {130, 200, 2, 1, 32, mixed, 100, kv_layout::head_major},
                    {90, 150, 2, 2, 32, mixed, 1, kv_layout::token_major}});
}

TEST_CASE("heads without a line are zero, with slash 0 alone the row's own value") {
  std::deque<world<bf16>> worlds;
  auto& w = worlds.emplace_back(prefill_case{35, 77, 3, 1, 32, plan_shape::slash_zero_only, 0, kv_layout::paged});
  set_lines(w, 1, {}, {});
  set_lines(w, 2, {50}, {});  // the rows before see no key at all
  check_jobs(worlds);
  each_device([&](auto const& b) {
    auto const host = jobs_of(worlds);
    batch_on_device const on(b, std::span<prefill_job<bf16> const>(host));
    attend_lines(b, on.jobs());
    auto const out = on.out(b, 0);
    for (int i = 0; i < 35; ++i) {
      for (int d = 0; d < 32; ++d) {
        auto const at = [&](int head) { return out[static_cast<std::size_t>((i * 3 + head) * 32 + d)]; };
        CHECK(at(0) == static_cast<float>(host[0].kv.value(42 + i, 0)[d]));
        CHECK(at(1) == 0);
        CHECK((at(2) == 0) == (42 + i < 50));
      }
    }
  });
}

TEST_CASE("a cell that a vertical and a slash cover counts once, at both ends of words and of tiles of rows") {
  std::deque<world<bf16>> worlds;
  auto& w = worlds.emplace_back(prefill_case{130, 330, 4, 2, 24, plan_shape::slash_zero_only, 0, kv_layout::paged});
  set_lines(w, 0, {0, 63, 64, 65, 127, 128, 199, 200, 201, 329}, {0, 1, 63, 64, 65, 127, 128, 329});
  set_lines(w, 1, every(3, 0, 330), every(5, 0, 330));
  set_lines(w, 2, every(1, 0, 330), every(1, 0, 330));
  set_lines(w, 3, {}, {329});  // the last row's first key and nothing else
  check_jobs(worlds);
}

TEST_CASE("a cell counts once, and none is lost, at both ends of words and of the halves of a tile of 128 rows") {
  std::deque<world<bf16>> worlds;
  auto& w = worlds.emplace_back(prefill_case{130, 330, 6, 2, 32, plan_shape::slash_zero_only, 0, kv_layout::paged});
  set_lines(w, 0, {0, 63, 64, 65, 127, 128, 199, 200, 201, 263, 264, 265, 329}, {0, 1, 63, 64, 65, 127, 128, 129, 329});
  set_lines(w, 1, every(3, 0, 330), every(5, 0, 330));
  set_lines(w, 2, every(1, 0, 330), every(1, 0, 330));
  set_lines(w, 3, {}, {329});
  set_lines(w, 4, {}, {64, 200});
  set_lines(w, 5, {264}, {});
  check_jobs(worlds);
}

TEST_CASE("keys far apart are packed into tiles across many words of the index, and heads may differ in area by a thousand times") {
  std::deque<world<bf16>> worlds;
  auto& w = worlds.emplace_back(prefill_case{9, 5003, 4, 1, 8, plan_shape::slash_zero_only, 0, kv_layout::paged});
  set_lines(w, 1, every(501, 3, 5003), {0, 4990});
  set_lines(w, 2, every(97, 0, 5003), every(211, 0, 5003));
  set_lines(w, 3, every(1, 0, 5003), {});
  check_jobs(worlds);
}

TEST_CASE("a window cuts a plan") {
  using enum plan_shape;
  check_batch<bf16>({{64, 200, 2, 1, 32, band_and_verticals, 50, kv_layout::paged},
                     {40, 80, 2, 1, 24, scattered, 1000, kv_layout::head_major},
                     {30, 150, 2, 2, 32, mixed, 1, kv_layout::token_major}});
}

TEST_CASE("a row's bits do not depend on the batch, and heads without lines have those of dense attention") {
  for (int const dim : {24, 64}) {
    world<bf16> mixed({75, 170, 4, 2, dim, plan_shape::mixed, 0, kv_layout::paged}), large({9, 9, 2, 1, 256, plan_shape::scattered}),
        beside({40, 250, 5, 1, dim, plan_shape::scattered});
    each_device([&](auto const& b) {
      auto const run = [&](auto attend, std::vector<prefill_job<bf16>> const& host) {
        batch_on_device const on(b, std::span<prefill_job<bf16> const>(host));
        attend(on.jobs());
        return on.out(b, 0);
      };
      auto const lines = [&](auto jobs) { attend_lines(b, jobs); };
      auto const alone = run(lines, {mixed.job()});
      CHECK(run(lines, {mixed.job(), large.job(), beside.job()}) == alone);
      auto const all = run([&](auto jobs) { attend_dense(b, jobs); }, {mixed.job()});
      for (int i = 0; i < 75; ++i) {
        for (int h = 0; h < 4; h += 2) {
          auto const first = (i * 4 + h) * dim;
          CHECK(std::equal(alone.begin() + first, alone.begin() + first + dim, all.begin() + first));
        }
      }
    });
  }
}

TEST_CASE("tiles with more keys come first, by an eighth at least, whatever their heads and jobs are") {
  std::deque<world<bf16>> worlds;
  worlds.emplace_back(prefill_case{150, 900, 3, 1, 64, plan_shape::mixed, 0, kv_layout::paged});
  worlds.emplace_back(prefill_case{70, 70, 4, 1, 64, plan_shape::scattered, 20, kv_layout::paged});
  worlds.emplace_back(prefill_case{65, 2000, 2, 1, 64, plan_shape::none, 0, kv_layout::paged});
  worlds.emplace_back(prefill_case{3, 4200, 2, 1, 8, plan_shape::slash_zero_only, 0, kv_layout::paged});
  set_lines(worlds[0], 1, {}, every(64, 0, 900));
  set_lines(worlds[3], 0, every(1, 0, 2000), {0});  // most of them more than 2048 keys back
  set_lines(worlds[3], 1, every(1, 3200, 4200), {0});
  detail::tile_count const tiles{4, 4, 2};
  std::vector<int> keys;  // of each tile of all jobs, heads and tiles of rows, as the definition says
  for (auto& world : worlds) {
    auto const job = world.job();
    auto const& shape = world.shape();
    for (int head = 0; head < tiles.heads; ++head) {
      for (int first = 0; first < 128 * tiles.tiles; first += 128) {
        std::vector<char> any(static_cast<std::size_t>(shape.keys), 0);
        for (int i = first; head < shape.heads && i < std::min(shape.rows, first + 128); ++i) {
          auto const mask = testing::detail::plan_mask(job.plan, head, shape.keys - shape.rows + i, shape.window);
          for (std::size_t k = 0; k < mask.size(); ++k) { any[k] |= mask[k]; }
        }
        keys.push_back(static_cast<int>(std::count(any.begin(), any.end(), 1)));
      }
    }
  }
  each_device([&](auto const& b) {
    batch_on_device const on(b, std::span<prefill_job<bf16> const>(jobs_of(worlds)));
    std::vector<planned_record<bf16>> records;
    for (auto const& job : on.jobs()) { records.push_back({record_of(job), job.plan != nullptr ? *job.plan : line_plan_view{}, nullptr}); }
    auto const indexed = detail::index_lines(b, std::span<planned_record<bf16> const>(records));
    auto order = on_host(b, detail::ordered_tiles(b, indexed.records.data(), tiles, 128));
    for (std::size_t i = 1; i < order.size(); ++i) {
      CHECK(keys[static_cast<std::size_t>(order[i])] <= keys[static_cast<std::size_t>(order[i - 1])] * 9 / 8 + 1);
    }
    std::sort(order.begin(), order.end());
    CHECK(order == every(1, 0, static_cast<int>(tiles.all())));
  });
}

TEST_CASE("a fresh plan declares every head dense") {
  each_device([](auto const& b) {
    auto backend = b;
    line_plan plan(backend);
    for (int const heads : {3, 70}) {
      plan.reset(heads, 4, 9);
      auto const view = plan.view();
      std::vector<int> verticals(static_cast<std::size_t>(heads), 7), slashes = verticals;
      std::vector<unsigned char> dense(verticals.size());
      std::vector<float> covered(verticals.size());
      b.copy_to_host(verticals.data(), view.vertical_counts, heads * index_t{sizeof(int)});
      b.copy_to_host(slashes.data(), view.slash_counts, heads * index_t{sizeof(int)});
      b.copy_to_host(dense.data(), view.dense, heads);
      b.copy_to_host(covered.data(), view.covered, heads * index_t{sizeof(float)});
      CHECK(verticals == std::vector<int>(verticals.size(), 0));
      CHECK(slashes == verticals);
      CHECK(dense == std::vector<unsigned char>(dense.size(), 1));
      CHECK(covered == std::vector<float>(covered.size(), 1.0F));
    }
  });
}

TEST_CASE("jobs and plans that do not fit together are refused before anything is queued; a batch and a job may be empty") {
  each_device([&](auto const& b) {
    attend_lines(b, std::span<prefill_job<bf16> const>{});
    world<bf16> w({3, 5, 2, 1, 64, plan_shape::scattered});
    std::vector<prefill_job<bf16>> jobs{w.job()};
    jobs[0].q = jobs[0].q.rows(0, 0);
    jobs[0].out = jobs[0].out.rows(0, 0);
    jobs[0].plan = nullptr;
    attend_lines(b, std::span<prefill_job<bf16> const>(jobs));
    jobs[0] = w.job();
    jobs[0].kv.tokens = 4;
    CHECK_THROWS_AS(attend_lines(b, std::span<prefill_job<bf16> const>(jobs)), error);
    jobs[0] = w.job();
    jobs[0].kv.row_stride = 68;
    CHECK_THROWS_AS(attend_lines(b, std::span<prefill_job<bf16> const>(jobs)), error);
  });
}
