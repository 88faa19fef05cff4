// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <limits>

#include <loopserve/kv/progressive.hpp>
#include <loopserve/kv/sketch_cache.hpp>
#include <loopserve/kv/with_recall.hpp>
#include <loopserve/kv/working_set.hpp>
#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/gather.cuh>
#include <loopserve/ops/key_mass.cuh>
#include <loopserve/ops/key_sketch.cuh>
#include <loopserve/ops/top_k.cuh>

#include "kv_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);
constexpr int context = 230, kv_heads = 2, heads = 6, head_dim = 32, budget = 40;

std::vector<std::vector<int>> lists_of(std::vector<int> const& rows, std::vector<int> const& counts, index_t stride) {
  std::vector<std::vector<int>> lists;
  for (std::size_t h = 0; h < counts.size(); ++h) {
    auto const first = rows.begin() + static_cast<std::ptrdiff_t>(h) * stride;
    lists.emplace_back(first, first + counts[h]);
  }
  return lists;
}

template <class B>
struct answer {
  std::vector<std::vector<std::vector<int>>> kept;
  std::vector<std::vector<float>> gathered;
  std::vector<float> scores;
};

/// Chooses by the input's tail, then by four output queries, gathers after each choice, scores by a sketch of the keys, and recalls by it at last.
template <class B, class Upload, class Download>
answer<B> run(B& b, kv_view<bf16> kv, Upload upload_floats, Download read) {
  answer<B> a;
  progressive_options o;
  o.budget.tokens = budget;
  o.interval = 4;
  o.recent = 3;
  o.bootstrap = true;
  progressive<B> policy(b, o);
  kept_rows<B> keep(b);
  working_set<B> held(b);
  auto const q = upload_floats(numbers(9 * heads * head_dim, 11, 2));
  auto const queries = [&](int first, int count) {
    return tensor_view<float const, 3>(q.data() + first * heads * head_dim, {count, heads, head_dim});
  };
  policy.begin_turn(0, queries(0, 5), kv);
  for (int token = 0; token < 4; ++token) {
    if (policy.due(0)) { policy.choose(0, kv, keep); }
    if (token == 0) { gather(b, a, kv, keep, held, read); }
    policy.observe(0, queries(5 + token, 1)[0]);
  }
  REQUIRE(policy.due(0));
  policy.choose(0, kv, keep);
  gather(b, a, kv, keep, held, read);
  sketch_cache<B> sketch(b, 2);
  sketch.grow(kv.slice(0, 70));
  sketch.grow(kv);
  auto scores = b.template make_buffer<float>(kv_heads * context);
  sketch_scores(b, queries(8, 1), kv, sketch.view(), tensor_view<float, 2>(scores.data(), {kv_heads, context}));
  a.scores = read(scores.data(), scores.size());
  with_recall_options<progressive<B>> r;
  r.budget = budget;
  r.core = o;
  with_recall<progressive<B>> recalling(b, r);
  recalling.begin_turn(0, queries(0, 5), kv);
  recalling.choose(0, kv, keep);
  gather(b, a, kv, keep, held, read);
  recalling.recall(0, queries(8, 1)[0], kv, keep);
  gather(b, a, kv, keep, held, read);
  return a;
}

template <class B, class Read>
void gather(B& b, answer<B>& a, kv_view<bf16> kv, kept_rows<B>& keep, working_set<B>& held, Read read) {
  auto const list = keep.view();
  a.kept.push_back(lists_of(read(list.rows, list.kv_heads * list.stride), read(list.counts, list.kv_heads), list.stride));
  held.assign(b, kv, list);
  auto const view = held.template view<bf16>();
  auto const pages = read(view.key_pages, kv_heads);
  std::vector<float> rows;
  for (auto const* page : pages) {
    for (auto const x : read(page, index_t{budget} * head_dim)) { rows.push_back(x); }
  }
  a.gathered.push_back(rows);
}

}  // namespace

TEST_CASE("policies, a working set and a sketch choose on the device what they choose on the host") {
  testing::host_kv<bf16> keys(context, kv_heads, head_dim);
  keys.fill(9, 2);
  auto const host_copy = [](auto const* from, index_t count) {
    return std::vector<std::remove_cvref_t<decltype(*from)>>(from, from + count);
  };
  auto const want = run(
      oracle, keys.view(), [](std::vector<float> v) { return v; }, host_copy);
  REQUIRE(want.kept[0][0].size() == budget);
  REQUIRE(want.kept[0] != want.kept[1]);
  REQUIRE(want.kept[2][0].size() == budget / 2);
  REQUIRE(want.kept[3][0].size() == budget);
  each_device([&](auto const& b) {
    auto const kv = kv_of(b, keys, 4);
    auto const got = run(
        b, kv.view(), [&](std::vector<float> const& v) { return on_device(b, v); },
        [&](auto const* from, index_t count) {
          std::vector<std::remove_cvref_t<decltype(*from)>> to(static_cast<std::size_t>(count));
          b.copy_to_host(to.data(), from, count * static_cast<index_t>(sizeof(*from)));
          return to;
        });
    CHECK(got.kept == want.kept);
    CHECK(got.gathered == want.gathered);
    CHECK(worst(got.scores, want.scores) <= 1e-4);
  });
}
