// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include <loopserve/core/element.hpp>
#include <loopserve/kv/working_set.hpp>
#include <loopserve/testing/host_kv.hpp>

namespace ls = loopserve;

namespace {

using lists = std::vector<std::vector<int>>;

ls::kept_rows_view write(ls::kept_rows<ls::reference>& keep, lists const& rows, int capacity) {
  auto const view = keep.lists(static_cast<int>(rows.size()), capacity);
  for (std::size_t h = 0; h < rows.size(); ++h) {
    view.counts[h] = static_cast<int>(rows[h].size());
    std::copy(rows[h].begin(), rows[h].end(), view.rows + static_cast<ls::index_t>(h) * view.stride);
  }
  return view;
}

template <class Element>
std::vector<int> positions(ls::kv_view<Element> v, int head) {
  std::vector<int> out;
  for (int i = 0; i < v.length(head); ++i) { out.push_back(v.position(i, head)); }
  return out;
}

}  // namespace

TEST_CASE_TEMPLATE("a working set holds what is kept, and copies what is new", Element, float, ls::bf16) {
  ls::reference b{1};
  ls::testing::host_kv<Element> context(100, 2, 6);
  context.fill(3);
  ls::kept_rows<ls::reference> keep(b);
  ls::working_set<ls::reference> set(b);
  CHECK(set.template view<Element>().length() == 0);
  auto const assign = [&](lists const& rows) {
    auto const before = set.rows_copied();
    set.assign(b, context.view(), write(keep, rows, 10));
    auto const kv = context.view();
    auto const view = set.template view<Element>();
    for (int h = 0; h < 2; ++h) {
      auto held = positions(view, h);
      for (int i = 0; i < view.length(h); ++i) {
        for (int c = 0; c < 6; ++c) {
          CHECK(static_cast<float>(view.key(i, h)[c]) == static_cast<float>(kv.key(held[static_cast<std::size_t>(i)], h)[c]));
          CHECK(static_cast<float>(view.value(i, h)[c]) == static_cast<float>(kv.value(held[static_cast<std::size_t>(i)], h)[c]));
        }
      }
      std::sort(held.begin(), held.end());
      CHECK(held == rows[static_cast<std::size_t>(h)]);
    }
    return set.rows_copied() - before;
  };
  CHECK(assign({{1, 5, 9, 30}, {2, 99}}) == 6);
  CHECK(positions(set.template view<Element>(), 0) == std::vector<int>{1, 5, 9, 30});
  CHECK(assign({{1, 5, 9, 30}, {2, 99}}) == 0);
  CHECK(assign({{0, 1, 9, 30}, {2, 99}}) == 1);
  CHECK(positions(set.template view<Element>(), 0) == std::vector<int>{1, 0, 9, 30});  // 0 in the place of 5
  CHECK(assign({{0, 1, 9, 30, 31}, {2, 50, 99}}) == 2);
  CHECK(assign({{31}, {2, 50, 99}}) == 1);  // 31 moves to the first slot
  CHECK(assign({{}, {}}) == 0);
  CHECK(assign({{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {99}}) == 11);
  auto const held = set.bytes();
  CHECK(held >= 2 * 2 * 10 * 6 * static_cast<int>(sizeof(Element)));
  set.clear();
  CHECK(set.template view<Element>().length() == 0);
  CHECK(assign({{0, 1}, {99}}) == 3);
  CHECK(set.bytes() == held);
}

TEST_CASE("random changes: contents are right, copies are the difference, and positions survive a slice") {
  ls::reference b{2};
  ls::testing::host_kv<float> context(3000, 3, 8);
  context.fill(4);
  auto const kv = context.view().slice(500, 2400);
  ls::kept_rows<ls::reference> keep(b);
  ls::working_set<ls::reference> set(b);
  lists before(3);
  for (int round = 0; round < 30; ++round) {
    lists rows(3);
    ls::index_t fresh = 0;
    for (int h = 0; h < 3; ++h) {
      ls::counter_rng const random{static_cast<std::uint64_t>(round / 3), static_cast<std::uint64_t>(h)};
      auto const at = static_cast<std::size_t>(h);
      for (int t = 0; t < 2400; ++t) {
        if (random.uniform(static_cast<std::uint64_t>(t)) < 0.2 + 0.01 * (round % 3)) { rows[at].push_back(t); }
      }
      if (round % 3 == 2) { rows[at].resize(rows[at].size() - 1); }
      for (int t : rows[at]) { fresh += std::binary_search(before[at].begin(), before[at].end(), t) ? 0 : 1; }
    }
    auto const copied = set.rows_copied();
    set.assign(b, kv, write(keep, rows, 1000));
    CHECK(set.rows_copied() - copied >= fresh);
    if (round % 3 == 1) { CHECK(set.rows_copied() - copied == fresh); }
    auto const view = set.view<float>();
    for (int h = 0; h < 3; ++h) {
      auto held = positions(view, h);
      for (std::size_t i = 0; i < held.size(); ++i) { CHECK(std::equal(view.key(static_cast<int>(i), h), view.key(static_cast<int>(i), h) + 8, context.key(held[i], h))); }
      std::sort(held.begin(), held.end());
      for (int& p : held) { p -= 500; }
      CHECK(held == rows[static_cast<std::size_t>(h)]);
    }
    before = rows;
  }
}
