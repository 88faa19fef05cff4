// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include <loopserve/ops/gather.cuh>

#include "kv_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);
using lists = std::vector<std::vector<int>>;

/// Kept rows as flat arrays, `stride` apart.
struct flat_lists {
  std::vector<int> rows, counts;
  index_t stride;

  flat_lists(lists const& keep, index_t width) : stride(width) {
    for (auto const& list : keep) {
      counts.push_back(static_cast<int>(list.size()));
      rows.insert(rows.end(), list.begin(), list.end());
      rows.resize(counts.size() * static_cast<std::size_t>(width), -1);
    }
  }
  kept_rows_view view() { return {static_cast<int>(counts.size()), stride, rows.data(), counts.data()}; }
};

/// The arrays of a gathered_rows_view, all of them known from the start so that what is not written compares equal.
template <class Element>
struct slots_on_host {
  index_t capacity;
  std::vector<Element> keys, values;
  std::vector<int> positions, tokens, slots, counts, copied;

  slots_on_host(int heads, index_t room, int head_dim)
      : capacity(room),
        keys(static_cast<std::size_t>(heads * room * head_dim)),
        values(keys),
        positions(static_cast<std::size_t>(heads * room), -1),
        tokens(positions),
        slots(positions),
        counts(static_cast<std::size_t>(heads), 0),
        copied(counts) {}
  gathered_rows_view<Element> view() {
    return {capacity, keys.data(), values.data(), positions.data(), tokens.data(), slots.data(), counts.data(), copied.data()};
  }
};

template <class Element>
bool same_bytes(std::vector<Element> const& a, std::vector<Element> const& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Element)) == 0;
}

/// Every `step`-th token from `first` on, `count` of them.
std::vector<int> every(int step, int first, int count) {
  std::vector<int> list;
  for (int i = 0; i < count; ++i) { list.push_back(first + i * step); }
  return list;
}

template <class Element>
std::vector<Element> behind(std::size_t gap, std::vector<Element> rows) {
  rows.insert(rows.begin(), gap, Element{});
  return rows;
}

/// Both hold after every assignment of a sequence: the same rows in the same slots, after the same number of copies. The device's slots begin `gap` elements
/// behind an aligned address.
template <class Element>
void follow(std::vector<lists> const& sequence, int tokens, int head_dim, int page_shift, std::size_t gap = 0) {
  auto const heads = static_cast<int>(sequence[0].size());
  index_t longest = 0;
  for (auto const& keep : sequence) {
    for (auto const& list : keep) { longest = std::max(longest, static_cast<index_t>(list.size())); }
  }
  index_t const capacity = longest + 10;
  testing::host_kv<Element> full(tokens, heads, head_dim);
  full.fill(1);
  each_device([&](auto const& b) {
    CAPTURE(head_dim);
    CAPTURE(page_shift);
    auto const kv = kv_of(b, full, page_shift);
    slots_on_host<Element> want(heads, capacity, head_dim);
    auto keys = on_device(b, behind(gap, want.keys)), values = on_device(b, behind(gap, want.values));
    auto positions = on_device(b, want.positions), held = on_device(b, want.tokens), slots = on_device(b, want.slots);
    auto counts = on_device(b, want.counts), copied = on_device(b, want.copied);
    gathered_rows_view<Element> const got{capacity,    keys.data() + gap, values.data() + gap, positions.data(),
                                          held.data(), slots.data(),      counts.data(),       copied.data()};
    for (auto const& keep : sequence) {
      flat_lists flat(keep, longest);
      gather_rows(oracle, full.view(), flat.view(), want.view());
      auto rows = on_device(b, flat.rows), lengths = on_device(b, flat.counts);
      gather_rows(b, kv.view(), kept_rows_view{heads, flat.stride, rows.data(), lengths.data()}, got);
      CHECK(same_bytes(on_host(b, keys), behind(gap, want.keys)));
      CHECK(same_bytes(on_host(b, values), behind(gap, want.values)));
      CHECK(on_host(b, positions) == want.positions);
      CHECK(on_host(b, counts) == want.counts);
      CHECK(on_host(b, copied) == want.copied);
      CHECK(on_host(b, held) == want.tokens);
      CHECK(on_host(b, slots) == want.slots);
    }
  });
}

}  // namespace

TEST_CASE("a working set follows its lists slot by slot: grown, shrunk, emptied, unchanged, ragged") {
  std::vector<lists> const sequence = {{every(3, 0, 5), {}, every(1, 0, 270)},
                                       {every(2, 1, 7), {699}, every(2, 1, 290)},
                                       {every(2, 1, 7), {0, 699}, every(1, 100, 31)},
                                       {{}, every(1, 300, 257), every(2, 90, 33)},
                                       {every(1, 0, 1), every(2, 300, 200), {}}};
  follow<bf16>(sequence, 700, 16, 30);
  follow<bf16>(sequence, 700, 16, 4);
  follow<float>(sequence, 700, 6, 5);
}

TEST_CASE("lists are longer than a block has threads, of what comes and of slots that are refilled") {
  int const more = plan_gather_kernel<bf16>::threads + 70;
  follow<bf16>({{every(1, 0, more)}, {every(1, 20, more - 5)}, {every(2, 0, more)}}, 2 * more, 8, 30);
}

TEST_CASE("rows wider than a warp, and rows that no wide access fits") {
  std::vector<lists> const sequence = {{{0, 3, 8}}, {{3, 7, 8, 9}}};
  follow<float>(sequence, 10, 160, 30);
  follow<f16>(sequence, 10, 37, 2);
  follow<bf16>(sequence, 10, 16, 2, 3);
}

TEST_CASE("positions come from the view, a slice of it too") {
  testing::host_kv<float> full(20, 2, 8);
  full.fill(2);
  std::vector<int> at;
  for (int i = 0; i < 40; ++i) { at.push_back(1000 - i); }
  flat_lists flat({{1, 4}, {0, 2, 9}}, 5);
  slots_on_host<float> want(2, 6, 8);
  auto host = full.view().slice(5, 12);
  host.positions = at.data();
  host.positions_stride = 20;
  gather_rows(oracle, host, flat.view(), want.view());
  each_device([&](auto const& b) {
    auto const kv = kv_of(b, full, 3);
    auto const where = on_device(b, at);
    auto view = kv.view().slice(5, 12);
    view.positions = where.data();
    view.positions_stride = 20;
    slots_on_host<float> const empty(2, 6, 8);
    auto keys = on_device(b, empty.keys), values = on_device(b, empty.values);
    auto positions = on_device(b, empty.positions), held = on_device(b, empty.tokens), slots = on_device(b, empty.slots);
    auto counts = on_device(b, empty.counts), copied = on_device(b, empty.copied);
    auto rows = on_device(b, flat.rows), lengths = on_device(b, flat.counts);
    gather_rows(b, view, kept_rows_view{2, flat.stride, rows.data(), lengths.data()},
                gathered_rows_view<float>{6, keys.data(), values.data(), positions.data(), held.data(), slots.data(), counts.data(),
                                          copied.data()});
    CHECK(on_host(b, positions) == want.positions);
    CHECK(same_bytes(on_host(b, values), want.values));
    CHECK_THROWS_AS(gather_rows(b, view, kept_rows_view{1, 5, nullptr, nullptr}, gathered_rows_view<float>{}), error);
  });
}
