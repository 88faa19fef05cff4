// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <span>

#include <loopserve/attention/dense.cuh>
#include <loopserve/attention/line_sparse.cuh>
#include <loopserve/ops/copy.cuh>
#include <loopserve/prefill/a_shape.cuh>
#include <loopserve/prefill/any_selector.hpp>
#include <loopserve/prefill/choose_lines.cuh>
#include <loopserve/prefill/line_plan.cuh>

#include <loopserve/testing/selector_laws.hpp>

#include "kv_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);

/// Each head's verticals and slashes; -1 for a dense head.
std::vector<std::vector<int>> lines_of(testing::downloaded_plan const& plan) {
  std::vector<std::vector<int>> all;
  auto const& view = plan.view();
  for (int h = 0; h < view.heads; ++h) {
    for (bool const slashes_too : {false, true}) {
      all.push_back(view.dense[h] != 0 ? std::vector<int>{-1} : testing::lines_of(view, h, slashes_too));
    }
  }
  return all;
}

template <class B, class Selector, class Element>
testing::downloaded_plan selected(B const& b, Selector& selector, testing::chunk_case<Element>& c, prefill_site site, int page_shift = 30) {
  line_plan<B const> plan(b);
  auto const kv = kv_of(b, c.kv, page_shift);
  auto const q = on_device(b, c.q);
  plan.reset(static_cast<int>(c.view.extent(1)), static_cast<int>(c.view.extent(0)), c.kv.view().length());
  selector.select(site, tensor_view<float const, 3>(q.data(), c.view.extents()), kv.view(), plan.view());
  return {b, plan.view()};
}

/// Mean attention on a head's lines over the rows it was judged by, from scores in float64.
template <class Element>
double covered(testing::chunk_case<Element>& c, line_plan_view plan, int h, std::vector<int> const& sampled) {
  auto const rows = static_cast<index_t>(sampled.size());
  std::vector<float> a(static_cast<std::size_t>(rows * plan.keys));
  line_scores(oracle, c.view, c.kv.view(), sampled, h, tensor_view<float, 2>(a.data(), {rows, plan.keys}));
  auto const verticals = testing::lines_of(plan, h, false), slashes = testing::lines_of(plan, h, true);
  double sum = 0;
  for (index_t i = 0; i < rows; ++i) {
    int const p = plan.keys - plan.rows + sampled[static_cast<std::size_t>(i)];
    for (int k = 0; k <= p; ++k) {
      bool const kept =
          std::binary_search(verticals.begin(), verticals.end(), k) || std::binary_search(slashes.begin(), slashes.end(), p - k);
      sum += kept ? double{a[static_cast<std::size_t>(i * plan.keys + k)]} : 0;
    }
  }
  return sum / static_cast<double>(rows);
}

/// The laws of selector_laws.hpp that need no attention: sound, the same for the same site whatever was selected before, alpha covered.
template <class Element>
void keeps_the_laws(online_vertical_slash_options const& o, int head_dim, int page_shift) {
  each_device([&](auto const& b) {
    using selector_type = online_vertical_slash<std::remove_cvref_t<decltype(b)> const>;
    selector_type selector(b, o), other(b, o);
    int sparse = 0;
    for (auto const& shape : {std::pair{1, 1}, {40, 40}, {70, 200}, {90, 600}}) {
      int const rows = shape.first, keys = shape.second;
      CAPTURE(keys);
      testing::chunk_case<Element> c(rows, keys, 2, 1, head_dim, static_cast<std::uint64_t>(keys));
      prefill_site const site{1, 2, 3, 4};
      auto const plan = selected(b, selector, c, site, page_shift);
      CHECK_NOTHROW(testing::require_sound_plan(plan.view(), "a plan"));
      if (keys <= 200) { CHECK(lines_of(selected(b, other, c, site, page_shift)) == lines_of(plan)); }
      for (int h = 0; h < plan.view().heads; ++h) {
        if (plan.view().dense[h] != 0) { continue; }
        ++sparse;
        double const found = covered(c, plan.view(), h, selector.sampled(site, h, rows));
        CHECK(found >= o.alpha - 1e-5);
        CHECK(!(std::fabs(plan.view().covered[h] - found) > 1e-5));
      }
    }
    CHECK(sparse > 0);
  });
}

}  // namespace

TEST_CASE("online_vertical_slash keeps the laws of selectors on a device, with tensor cores and without") {
  keeps_the_laws<bf16>({.alpha = 0.9, .sinks = 2, .local = 8, .fall_back = false}, 16, 30);
  keeps_the_laws<float>({.rows = 10, .last_rows = 3, .sinks = 0, .local = 0, .rank = line_rank::mass, .fall_back = false}, 12, 30);
  keeps_the_laws<f16>({.alpha = 0.96, .local = 20, .fall_back_keys = 1, .fall_back_area = 0.95}, 32, 4);
}

TEST_CASE("a plan does not depend on the schedule, nor on how many heads are looked at together") {
  testing::chunk_case<bf16> c(120, 333, 10, 2, 32, 9);
  line_choice choice{{2, 1, 5, 3}, 40, 8, {}};
  choice.cover.local = 4;
  std::vector<std::vector<int>> first;
  std::vector<float> covered;
  each_device([&](auto const& b) {
    auto const kv = kv_of(b, c.kv);
    auto const q = on_device(b, c.q);
    using backend_type = std::remove_cvref_t<decltype(b)>;
    line_scratch<backend_type> none;
    // All heads; one at a time; four, four and two.
    for (index_t const held : {detail::line_logits_at_once, index_t{1}, index_t{4 * 40 * 333}}) {
      line_plan<backend_type const> plan(b);
      plan.reset(10, 120, 333);
      choose_lines(b, choice, tensor_view<float const, 3>(q.data(), c.view.extents()), kv.view(), plan.view(), none, held);
      testing::downloaded_plan const read(b, plan.view());
      auto const lines = lines_of(read);
      std::vector<float> const covers(read.view().covered, read.view().covered + 10);
      if (first.empty()) {
        first = lines;
        covered = covers;
      }
      CHECK(lines == first);
      CHECK(covers == covered);
    }
    line_plan<backend_type const> other(b);
    other.reset(10, 120, 332);
    CHECK_THROWS_AS(choose_lines(b, choice, tensor_view<float const, 3>(q.data(), c.view.extents()), kv.view(), other.view(), none), error);
    // Another layer, head, turn, chunk or seed looks at other rows.
    CHECK(sampled_rows(choice, 0, 120) != sampled_rows(choice, 1, 120));
  });
  CHECK(first.size() == 20);
}

TEST_CASE("where a score is not a number a head keeps what is forced and does not say what it covers, and the others do not notice") {
  testing::chunk_case<bf16> c(40, 100, 4, 2, 16, 9);
  for (int i = 0; i < 16; ++i) { c.kv.key(70, 0)[i] = bf16(NAN); }
  online_vertical_slash_options const o{.alpha = 0.9, .sinks = 3, .local = 2, .fall_back = false};
  online_vertical_slash<reference const> here(oracle, o);
  line_plan<reference const> want(oracle);
  want.reset(4, 40, 100);
  here.select({}, c.view, c.kv.view(), want.view());
  each_device([&](auto const& b) {
    online_vertical_slash<std::remove_cvref_t<decltype(b)> const> there(b, o);
    auto const got = selected(b, there, c, {});
    for (int h = 0; h < 4; ++h) { CHECK(std::isnan(got.view().covered[h]) == std::isnan(want.view().covered[h])); }
    CHECK(std::isnan(got.view().covered[0]));
    CHECK(got.view().covered[2] >= 0.9F);
    CHECK(testing::lines_of(got.view(), 1, false) == std::vector<int>{0, 1, 2});
    CHECK(testing::lines_of(got.view(), 1, true) == std::vector<int>{0, 1});
  });
}

TEST_CASE(
    "attention on a device's own plan is the reference's on that plan, and dense where the plan keeps everything, on a second turn too") {
  constexpr int heads = 4, keys = 150, dim = 48;  // chosen on tensor cores, attended to without them: exact but for sums in float32
  each_device([&](auto const& b) {
    using selector_type = online_vertical_slash<std::remove_cvref_t<decltype(b)> const>;
    for (auto [rows, local] : {std::pair{150, 4}, {40, 4}, {150, 150}, {40, 150}}) {
      testing::chunk_case<bf16> c(rows, keys, heads, 2, dim, 7);
      selector_type selector(b, {.alpha = 0.8, .sinks = 2, .local = local, .fall_back = false});
      line_plan<std::remove_cvref_t<decltype(b)> const> plan(b);
      auto const kv = kv_of(b, c.kv, 5);
      auto const q = on_device(b, c.q);
      auto out = on_device(b, std::vector<float>(c.q.size(), -7.0F));
      plan.reset(heads, rows, keys);
      tensor_view<float const, 3> const queries(q.data(), c.view.extents());
      selector.select({0, 1, 0, 0}, queries, kv.view(), plan.view());
      auto const view = plan.view();
      prefill_job<bf16> const job{queries, kv.view(), &view, 0, tensor_view<float, 3>(out.data(), c.view.extents())};
      attend_lines(b, std::span<prefill_job<bf16> const>(&job, 1));
      testing::downloaded_plan const chosen(b, view);
      std::vector<float> want(c.q.size());
      prefill_job<bf16> const same{c.view, c.kv.view(), local == keys ? nullptr : &chosen.view(), 0,
                                   tensor_view<float, 3>(want.data(), c.view.extents())};
      if (local == keys) {
        CHECK(union_cells(chosen.view(), 3) == causal_cells(rows, keys));
        attend_dense(oracle, std::span<prefill_job<bf16> const>(&same, 1));
      } else {
        CHECK(union_cells(chosen.view(), 3) < causal_cells(rows, keys));
        attend_lines(oracle, std::span<prefill_job<bf16> const>(&same, 1));
      }
      CHECK(worst(on_host(b, out), want) <= 3e-6);
    }
  });
}

TEST_CASE("rows are sampled on a device as on the host") {
  each_device([&](auto const& b) {
    for (auto [rows, count, last] : {std::array{1, 64, 16}, {64, 64, 16}, {100, 64, 16}, {8192, 64, 16}, {130, 7, 9}, {50, 70, 0}}) {
      int const heads = 3, sampled = std::min(rows, count), history = 11;
      prefill_site const site{5, 6, 7, 8};
      auto positions = on_device(b, std::vector<int>(static_cast<std::size_t>(heads * sampled), -7));
      b.launch({blocks_for(sampled, sample_rows_kernel::threads), heads},
               sample_rows_kernel{layer_stream(site), site.turn, site.chunk, rows, count, last, history, sampled, positions.data()});
      std::vector<int> want;
      for (int h = 0; h < heads; ++h) {
        for (int const row : sample_rows(rows, count, last, counter_rng{8, 5, static_cast<std::uint64_t>(h), 6, 7})) {
          want.push_back(history + row);
        }
      }
      CHECK(on_host(b, positions) == want);
    }
  });
}

TEST_CASE("fixed selectors on a device are the host's") {
  each_device([&](auto const& b) {
    using backend_type = std::remove_cvref_t<decltype(b)> const;
    for (auto const& o :
         {a_shape_options{3, 7}, a_shape_options{0, 1}, a_shape_options{150, 1}, a_shape_options{1, 40}, a_shape_options{100, 100}}) {
      testing::chunk_case<bf16> c(20, 160, 3, 1, 8, 1);
      a_shape<backend_type> there(b, o);
      a_shape<reference const> here(oracle, o);
      line_plan<reference const> plan(oracle);
      plan.reset(3, 20, 160);
      here.select({}, c.view, c.kv.view(), plan.view());
      auto const got = selected(b, there, c, {});
      testing::downloaded_plan const want(oracle, plan.view());
      CHECK(lines_of(got) == lines_of(want));
      CHECK(std::isnan(got.view().covered[2]) == std::isnan(want.view().covered[2]));
    }
    // More lines than keys, and none at all.
    for (auto [sinks, local] : {std::pair{200, 3}, {2, 200}, {1, 150}, {150, 1}, {0, 0}}) {
      line_plan<backend_type> plan(b);
      line_plan<reference const> want(oracle);
      plan.reset(3, 20, 160);
      want.reset(3, 20, 160);
      declare_a_shape(b, plan.view(), sinks, local);
      declare_a_shape(oracle, want.view(), sinks, local);
      testing::downloaded_plan const got(b, plan.view());
      CHECK(lines_of(got) == lines_of(testing::downloaded_plan(oracle, want.view())));
      CHECK(std::count(got.view().dense, got.view().dense + 3, 0) == 3);
    }
    testing::chunk_case<bf16> c(20, 160, 3, 1, 8, 1);
    any_selector_options o;
    o.a_shape = {.sinks = 1, .local = 2};
    for (auto const* const name : {"dense", "a_shape", "online_vertical_slash"}) {
      o.name = name;
      any_selector<backend_type> selector(b, o);
      CHECK((selected(b, selector, c, {}).view().dense[1] == 1) == (o.name != "a_shape"));  // too short a context for lines
    }
  });
}
