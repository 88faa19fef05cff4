// SPDX-License-Identifier: Apache-2.0
/// What serving counts and stores in a device's memory.
#include "device_test.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include <loopserve/ops/argmax.cuh>
#include <loopserve/ops/kept_share.cuh>
#include <loopserve/ops/store_rows.cuh>
#include <loopserve/prefill/line_plan.cuh>
#include <loopserve/prefill/line_tally.cuh>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);

/// Three tokens' rows with gaps, written from token `first` on into pages of four tokens that lie in descending order.
template <class Element>
void stores(int heads, int dim, int tokens, int first) {
  index_t const token_stride = heads * (dim + 1) + 2, head_stride = dim + 1, row_stride = dim + 2;
  int const shift = 2, pages = (first + tokens + 3) / 4;
  auto const x = numbers(tokens * token_stride + 1, 1, 100);
  std::vector<Element> const before(static_cast<std::size_t>(heads * pages * 4 * row_stride), Element(7.0F));
  auto want = before;
  auto const table_of = [&](Element* memory) {
    std::vector<Element*> table;
    for (int p = heads * pages - 1; p >= 0; --p) { table.push_back(memory + p * 4 * row_stride); }
    return table;
  };
  auto const host_table = table_of(want.data());
  store_rows(oracle, tensor_view<float const, 3>(x.data(), {tokens, heads, dim}, {token_stride, head_stride, 1}),
             page_table_view<Element>{host_table.data(), pages, shift, row_stride}, first);
  each_device([&](auto const& b) {
    auto const rows = on_device(b, x);
    auto memory = on_device(b, before);
    auto const table = on_device(b, table_of(memory.data()));
    store_rows(b, tensor_view<float const, 3>(rows.data(), {tokens, heads, dim}, {token_stride, head_stride, 1}),
               page_table_view<Element>{table.data(), pages, shift, row_stride}, first);
    CHECK(worst(on_host(b, memory), want) == 0);
  });
}

struct lines {
  std::vector<int> verticals, slashes;
  bool dense;
};

}  // namespace

TEST_CASE_TEMPLATE("keys and values land on their pages, rounded to the element type, and nowhere else", Element, float, bf16, f16) {
  stores<Element>(3, 5, 9, 6);
  stores<Element>(1, 200, 1, 3);
  stores<Element>(2, 8, 0, 1);
}

TEST_CASE("what f16 does not hold is told with its head, and from the first number on that rounds to infinity") {
  each_device([&](auto const& b) {
    auto memory = b.template make_buffer<f16>(6);
    auto const table = on_device(b, std::vector<f16*>{memory.data(), memory.data() + 3});
    auto const store = [&](float value) {
      auto const rows = on_device(b, std::vector<float>{1, 2, 3, 4, 5, value});
      store_rows(b, tensor_view<float const, 3>(rows.data(), {1, 2, 3}), page_table_view<f16>{table.data(), 1, 0, 3}, 0);
    };
    float const infinity = std::numeric_limits<float>::infinity(), holds = std::nextafter(65520.0F, 0.0F);
    for (float const value : {holds, -holds}) {
      store(value);
      CHECK_NOTHROW(b.synchronize());
    }
    for (float const value : {65520.0F, -65520.0F, infinity, -infinity}) {
      store(value);
      CHECK_THROWS_WITH_AS(b.synchronize(),
                           "a key or value of KV head 1 is beyond the 65504 that f16 holds; store keys and values in bf16 or f32 "
                           "(any_storage with kv_type, --kv-type of the programs)",
                           error);
    }
    b.synchronize();
  });
}

TEST_CASE("rows whose channels do not lie side by side are refused") {
  each_device([&](auto const& b) {
    auto memory = b.template make_buffer<float>(2);
    auto const table = on_device(b, std::vector<float*>{memory.data()});
    auto const x = on_device(b, std::vector<float>(4, 1.0F));
    CHECK_THROWS_AS(store_rows(b, tensor_view<float const, 3>(x.data(), {1, 1, 2}, {4, 4, 2}), page_table_view<float>{table.data(), 1, 0, 2}, 0), error);
  });
}

TEST_CASE("plans add up to the reference's tallies") {
  int const rows = 40, keys = 2600;
  std::vector<lines> heads = {
      {{}, {}, true}, {{}, {}, false}, {{0, 5, 2560, 2561, 2599}, {0, 1, 2, 39, 40, 2559, 2560, 2599}, false}, {{}, {0, 3}, false}};
  lines many{{}, {}, false};  // more of each kind than a block has threads
  for (int i = 0; i < keys; i += 2) { many.verticals.push_back(i); }
  for (int i = 1; i < keys; i += 2) { many.slashes.push_back(i); }
  heads.push_back(many);
  auto const n = static_cast<int>(heads.size());
  std::vector<int> verticals(static_cast<std::size_t>(n * keys), -1), slashes = verticals, vertical_counts, slash_counts;
  std::vector<unsigned char> dense;
  for (int h = 0; h < n; ++h) {
    auto const& l = heads[static_cast<std::size_t>(h)];
    std::copy(l.verticals.begin(), l.verticals.end(), verticals.begin() + h * keys);
    std::copy(l.slashes.begin(), l.slashes.end(), slashes.begin() + h * keys);
    vertical_counts.push_back(static_cast<int>(l.verticals.size()));
    slash_counts.push_back(static_cast<int>(l.slashes.size()));
    dense.push_back(l.dense ? 1 : 0);
  }
  auto covered = numbers(n, 4);
  std::vector<line_tally> want(static_cast<std::size_t>(n), {5, 0.25});
  line_plan_view const plan{n, rows, keys, keys, verticals.data(), slashes.data(), vertical_counts.data(), slash_counts.data(), dense.data(), covered.data()};
  for (double const share : {0.3, 0.7}) { tally_lines(oracle, plan, share, want.data()); }
  CHECK(want[1].cells == 5);
  each_device([&](auto const& b) {
    auto v = on_device(b, verticals), s = on_device(b, slashes), vc = on_device(b, vertical_counts), sc = on_device(b, slash_counts);
    auto d = on_device(b, dense);
    auto c = on_device(b, covered);
    auto to = on_device(b, std::vector<line_tally>(static_cast<std::size_t>(n), {5, 0.25}));
    line_plan_view const there{n, rows, keys, keys, v.data(), s.data(), vc.data(), sc.data(), d.data(), c.data()};
    for (double const share : {0.3, 0.7}) { tally_lines(b, there, share, to.data()); }
    auto const got = on_host(b, to);
    for (std::size_t h = 0; h < got.size(); ++h) {
      CHECK(got[h].cells == want[h].cells);
      CHECK(got[h].covered == doctest::Approx(want[h].covered));
    }
  });
}

TEST_CASE("a head may keep more cells than 32 bits count") {
  int const rows = 70000, keys = 1 << 20, lines = 65000;
  std::vector<int> verticals(static_cast<std::size_t>(2 * lines));
  for (int i = 0; i < lines; ++i) { verticals[static_cast<std::size_t>(i)] = i; }
  std::vector<int> slashes(verticals.size()), vertical_counts = {lines, 0}, slash_counts = {0, 0};
  std::vector<unsigned char> dense = {0, 1};
  std::vector<float> covered = {0.5F, 1.0F};
  each_device([&](auto const& b) {
    auto v = on_device(b, verticals), s = on_device(b, slashes), vc = on_device(b, vertical_counts), sc = on_device(b, slash_counts);
    auto d = on_device(b, dense);
    auto c = on_device(b, covered);
    auto to = on_device(b, std::vector<line_tally>(2));
    tally_lines(b, line_plan_view{2, rows, keys, lines, v.data(), s.data(), vc.data(), sc.data(), d.data(), c.data()}, 1, to.data());
    auto const got = on_host(b, to);
    CHECK(got[0].cells == index_t{rows} * lines);
    CHECK(got[1].cells == causal_cells(rows, keys));
  });
}

TEST_CASE("every head of a plan is declared dense, and nothing behind the last") {
  for (int const heads : {1, 32, 70}) {
    auto const n = static_cast<std::size_t>(heads);
    each_device([&](auto const& b) {
      auto verticals = on_device(b, std::vector<int>(n, 3)), slashes = on_device(b, std::vector<int>(n, 4));
      auto dense = on_device(b, std::vector<unsigned char>(n, 0));
      auto covered = on_device(b, std::vector<float>(n, 0.5F));
      declare_dense(b, line_plan_view{heads, 1, 1, 1, nullptr, nullptr, verticals.data(), slashes.data(), dense.data(), covered.data()});
      CHECK(on_host(b, verticals) == std::vector<int>(n, 0));
      CHECK(on_host(b, slashes) == std::vector<int>(n, 0));
      CHECK(on_host(b, dense) == std::vector<unsigned char>(n, 1));
      CHECK(on_host(b, covered) == std::vector<float>(n, 1.0F));
    });
  }
}

TEST_CASE("kept shares add up, also where heads keep no whole number of rows in the mean") {
  for (int const heads : {1, 3, 4, 71}) {
    std::vector<int> counts, none;
    for (int h = 0; h < heads; ++h) { counts.push_back(h % 7); }
    double want = 0.5;
    add_kept_share(oracle, {heads, 7, none.data(), counts.data()}, 40, &want);
    each_device([&](auto const& b) {
      auto lengths = on_device(b, counts);
      auto sum = on_device(b, std::vector<double>{0.5});
      add_kept_share(b, {heads, 7, nullptr, lengths.data()}, 40, sum.data());
      CHECK(on_host(b, sum)[0] == doctest::Approx(want));
    });
  }
}

TEST_CASE("the best of each row: the first of equals, and a row with what is no number says so") {
  index_t const rows = 5, cols = 5001;
  auto x = numbers(rows * cols, 9, 3);
  auto const put = [&](index_t r, index_t c, float value) { x[static_cast<std::size_t>(r * cols + c)] = value; };
  put(0, 0, 9);
  put(0, 5000, 9);
  put(1, 4999, 9);
  put(2, 77, NAN);
  put(2, 78, 11);
  for (index_t c = 0; c < cols; ++c) { put(3, c, -1 - static_cast<float>(c)); }
  put(4, 4097, std::numeric_limits<float>::infinity());
  auto const want = argmax_rows(oracle, tensor_view<float const, 2>(x.data(), {rows, cols}));
  CHECK((want[0].at == 0 && want[1].at == 4999 && std::isnan(want[2].value) && want[3].value == -1 && want[4].at == 4097));
  each_device([&](auto const& b) {
    auto const d = on_device(b, x);
    auto const got = argmax_rows(b, tensor_view<float const, 2>(d.data(), {rows, cols}));
    REQUIRE(got.size() == want.size());
    for (std::size_t r = 0; r < got.size(); ++r) {
      CHECK(got[r].at == want[r].at);
      CHECK((got[r].value == want[r].value || (std::isnan(got[r].value) && std::isnan(want[r].value))));
    }
    CHECK_THROWS_AS(argmax_rows(b, tensor_view<float const, 2>(d.data(), {1, 0})), error);
  });
}
