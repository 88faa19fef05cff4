// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <loopserve/prefill/any_selector.hpp>
#include <loopserve/testing/host_kv.hpp>

namespace ls = loopserve;

namespace {

/// One chunk of `rows` new rows over `keys` keys, random.
struct chunk {
  chunk(int rows, int keys, int heads, int kv_heads, int head_dim, double sharpness)
      : kv(keys, kv_heads, head_dim), q(ls::testing::normal_floats({9}, ls::index_t{rows} * heads * head_dim, sharpness)), view(q.data(), {rows, heads, head_dim}) {
    kv.fill(5);
  }
  ls::testing::host_kv<float> kv;
  std::vector<float> q;
  ls::tensor_view<float const, 3> view;
};

template <class Selector>
ls::line_plan<ls::reference> planned(ls::reference& b, Selector& selector, chunk& c, ls::prefill_site site = {}) {
  ls::line_plan<ls::reference> plan(b);
  plan.reset(static_cast<int>(c.view.extent(1)), static_cast<int>(c.view.extent(0)), c.kv.view().length());
  selector.select(site, c.view, c.kv.view(), plan.view());
  return plan;
}

}  // namespace

TEST_CASE("sampled rows are stratified, end with the last rows and follow the site") {
  auto const few = ls::sample_rows(40, 64, 16, {1});
  CHECK(few.size() == 40);
  for (int rows : {65, 100, 2048}) {
    auto const r = ls::sample_rows(rows, 64, 16, {1});
    REQUIRE(r.size() == 64);
    for (std::size_t i = 1; i < r.size(); ++i) { CHECK(r[i - 1] < r[i]); }
    CHECK(r[48] == rows - 16);
    CHECK(r.back() == rows - 1);
    CHECK(r == ls::sample_rows(rows, 64, 16, {1}));
  }
  CHECK(ls::sample_rows(2048, 64, 16, {1}) != ls::sample_rows(2048, 64, 16, {2}));
}

TEST_CASE("a_shape keeps sinks and window, and is dense where they hold everything") {
  ls::reference b{2};
  chunk c(20, 60, 2, 1, 8, 1);
  ls::a_shape<ls::reference> selector(b, {.sinks = 3, .local = 7});
  auto plan = planned(b, selector, c);
  auto const v = plan.view();
  CHECK(v.dense[1] == 0);
  CHECK(v.vertical_counts[1] == 3);
  CHECK(v.slash_counts[1] == 7);
  CHECK(std::isnan(v.covered[0]));
  CHECK(ls::union_cells(v, 0) == 20 * 10);
  ls::a_shape<ls::reference> all(b, {.sinks = 30, .local = 30});
  CHECK(planned(b, all, c).view().dense[0] == 1);
  CHECK_THROWS_AS((ls::a_shape<ls::reference>(b, {.sinks = 0, .local = 0})), ls::error);
}

TEST_CASE("online_vertical_slash: alpha, the constants of the fallback, and threads") {
  ls::reference b{2}, one{1};
  chunk c(90, 300, 4, 2, 16, 3);
  ls::online_vertical_slash_options o{.alpha = 0.9, .sinks = 2, .local = 4, .fall_back = false};
  ls::online_vertical_slash<ls::reference> selector(b, o), alone(one, o);
  auto plan = planned(b, selector, c), same = planned(one, alone, c);
  auto const v = plan.view(), w = same.view();
  for (int h = 0; h < 4; ++h) {
    CHECK(v.dense[h] == 0);
    CHECK(v.covered[h] >= 0.9F - 1e-6F);
    CHECK(v.covered[h] < 1.0F);
    CHECK(v.slashes[h * v.stride] == 0);
    CHECK(ls::union_cells(v, h) < ls::causal_cells(90, 300));
    REQUIRE(v.vertical_counts[h] == w.vertical_counts[h]);
    REQUIRE(v.slash_counts[h] == w.slash_counts[h]);
    for (int i = 0; i < v.vertical_counts[h]; ++i) { CHECK(v.verticals[h * v.stride + i] == w.verticals[h * w.stride + i]); }
    for (int i = 0; i < v.slash_counts[h]; ++i) { CHECK(v.slashes[h * v.stride + i] == w.slashes[h * w.stride + i]); }
  }
  auto const dense = [&](ls::online_vertical_slash_options changed) {
    ls::online_vertical_slash<ls::reference> s(b, changed);
    return planned(b, s, c).view().dense[0] == 1;
  };
  CHECK_FALSE(dense(o));
  o.fall_back = true;
  CHECK(dense(o));
  o.fall_back_keys = 300;
  o.fall_back_area = 1;
  CHECK_FALSE(dense(o));
  o.fall_back_area = 0.01;
  CHECK(dense(o));
  o.fall_back = false;
  o.alpha = 1;
  CHECK(dense(o));
}

TEST_CASE("a selector by name") {
  ls::reference b{1};
  chunk c(30, 50, 2, 2, 8, 2);
  ls::any_selector_options o;
  o.online_vertical_slash.fall_back = false;
  o.online_vertical_slash.local = 2;
  o.a_shape = {.sinks = 1, .local = 2};
  for (std::string name : {"dense", "a_shape", "online_vertical_slash"}) {
    o.name = name;
    ls::any_selector<ls::reference> selector(b, o);
    CHECK((planned(b, selector, c).view().dense[0] == 1) == (name == "dense"));
  }
  o.name = "quest";
  CHECK_THROWS_WITH_AS((ls::any_selector<ls::reference>(b, o)), "there is no prefill selector 'quest'; there are: dense, a_shape, online_vertical_slash", ls::error);
}
