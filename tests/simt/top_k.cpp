// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <loopserve/ops/top_k.cuh>

#include "device_test.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);
constexpr float infinity = std::numeric_limits<float>::infinity();

struct lists_on_host {
  index_t stride;
  std::vector<int> rows, counts;
  lists_on_host(int heads, index_t room)
      : stride(room), rows(static_cast<std::size_t>(heads * room), -7), counts(static_cast<std::size_t>(heads), -7) {}
  kept_rows_view view() { return {static_cast<int>(counts.size()), stride, rows.data(), counts.data()}; }
};

/// scores are (heads, n) with a gap behind each row.
void same_lists(std::vector<float> const& scores, int heads, int n, std::vector<int> const& ks, float least = -infinity) {
  index_t const line = n + 3;
  REQUIRE(static_cast<index_t>(scores.size()) == heads * line);
  auto const rows_of = [&](float const* data) { return tensor_view<float const, 2>(data, {heads, n}, {line, 1}); };
  each_device([&](auto const& b) {
    auto const there = on_device(b, scores);
    for (int const k : ks) {
      CAPTURE(n);
      CAPTURE(k);
      lists_on_host want(heads, std::min(std::max(k, 0), n) + 2);
      auto rows = on_device(b, want.rows), counts = on_device(b, want.counts);
      top_k(oracle, rows_of(scores.data()), k, least, want.view());
      top_k(b, rows_of(there.data()), k, least, kept_rows_view{heads, want.stride, rows.data(), counts.data()});
      auto const got = on_host(b, rows);
      CHECK(on_host(b, counts) == want.counts);
      // The reference may leave one candidate behind the last; only what the counts name is a promise.
      for (int h = 0; h < heads; ++h) {
        auto const at = h * want.stride;
        CHECK(std::equal(got.begin() + at, got.begin() + at + want.counts[static_cast<std::size_t>(h)], want.rows.begin() + at));
        for (auto i = at + want.counts[static_cast<std::size_t>(h)]; i < at + want.stride; ++i) {
          CHECK(got[static_cast<std::size_t>(i)] == -7);
        }
      }
    }
  });
}

}  // namespace

TEST_CASE("the best of each row are the reference's, in ascending order, at every length") {
  for (int const n : {0, 1, 255, 1030}) { same_lists(numbers(3 * (n + 3), 1, 40), 3, n, {-1, 0, 1, n / 2, n, n + 5}); }
  constexpr int tile = top_k_search::tile;
  same_lists(numbers(tile + 3, 2), 1, tile, {100});
  same_lists(numbers(2 * (2 * tile + 4), 3), 2, 2 * tile + 1, {17, 1024});
}

TEST_CASE("of equal scores the lower places win, within a tile and across tiles") {
  constexpr int n = top_k_search::tile + 700;
  std::vector<float> few(n + 3, 0.5F);
  same_lists(few, 1, n, {1, 300, top_k_search::tile + 5});
  for (std::size_t i = 0; i < few.size(); i += 3) { few[i] = 0.75F; }
  for (std::size_t i = 1; i < few.size(); i += 64) { few[i] = 0.75F + 0x1p-24F; }  // differ in the last digit only
  same_lists(few, 1, n, {40, 1000, 3000});
}

TEST_CASE("NaN is never chosen, both zeros are one, infinities are ordinary, and `least` is exceeded") {
  std::vector<float> odd = numbers(203, 4);
  for (std::size_t i = 0; i < odd.size(); i += 2) { odd[i] = NAN; }
  odd[5] = infinity;
  odd[7] = -infinity;
  odd[9] = -0.0F;
  odd[11] = 0.0F;
  odd[12] = -NAN;
  for (float const least : {-infinity, -0.5F, 0.0F, odd[13], infinity}) { same_lists(odd, 1, 200, {1, 20, 200}, least); }
  same_lists(std::vector<float>(40, NAN), 1, 37, {5});
}

TEST_CASE("-0 is neither below +0 nor exceeds it: of zeros the lower places win whatever their sign") {
  for (float const first : {-0.0F, 0.0F}) {
    std::vector<float> zeros(43, first);
    for (std::size_t i = 1; i < zeros.size(); i += 2) { zeros[i] = -first; }
    zeros[20] = -1;
    zeros[30] = 1;
    for (float const least : {-infinity, -1.0F}) { same_lists(zeros, 1, 40, {1, 2, 3, 10, 25, 39}, least); }
    for (float const least : {-0.0F, 0.0F}) { same_lists(zeros, 1, 40, {3}, least); }
  }
}

TEST_CASE("ends and rows are lifted above all others") {
  auto const scores = numbers(3 * 140, 5);
  lists_on_host lists(3, 131);
  lists.counts = {0, 2, 130};
  for (int i = 0; i < 131; ++i) {
    lists.rows[static_cast<std::size_t>(131 + i)] = 7 * i, lists.rows[static_cast<std::size_t>(262 + i)] = i;
  }
  auto const view = [](float* data) { return tensor_view<float, 2>(data, {3, 137}, {140, 1}); };
  each_device([&](auto const& b) {
    struct ends {
      int first, last;
    };
    for (auto const e : {ends{0, 0}, ends{4, 0}, ends{3, 130}, ends{100, 100}, ends{500, 1}}) {
      auto want = scores;
      auto got = on_device(b, scores);
      force_ends(oracle, view(want.data()), e.first, e.last);
      force_ends(b, view(got.data()), e.first, e.last);
      CHECK(on_host(b, got) == want);
    }
    auto want = scores;
    auto got = on_device(b, scores);
    auto rows = on_device(b, lists.rows), counts = on_device(b, lists.counts);
    force_rows(oracle, view(want.data()), lists.view());
    force_rows(b, view(got.data()), kept_rows_view{3, 131, rows.data(), counts.data()});
    CHECK(on_host(b, got) == want);
  });
}

TEST_CASE("lists are copied to places of another stride") {
  lists_on_host from(3, 200), want(3, 140);
  from.counts = {0, 1, 139};
  for (std::size_t i = 0; i < from.rows.size(); ++i) { from.rows[i] = static_cast<int>(i); }
  lists_on_host const before = want;
  copy_kept(oracle, from.view(), want.view());
  each_device([&](auto const& b) {
    auto rows = on_device(b, from.rows), counts = on_device(b, from.counts), to_rows = on_device(b, before.rows),
         to_counts = on_device(b, before.counts);
    copy_kept(b, kept_rows_view{3, 200, rows.data(), counts.data()}, kept_rows_view{3, 140, to_rows.data(), to_counts.data()});
    CHECK(on_host(b, to_rows) == want.rows);
    CHECK(on_host(b, to_counts) == want.counts);
    CHECK_THROWS_AS(copy_kept(b, kept_rows_view{2, 1, nullptr, nullptr}, kept_rows_view{3, 1, nullptr, nullptr}), error);
    CHECK_THROWS_AS(top_k(b, tensor_view<float const, 2>(nullptr, {2, 5}), 1, 0, kept_rows_view{3, 1, nullptr, nullptr}), error);
  });
}
