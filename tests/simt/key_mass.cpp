// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include <loopserve/ops/key_mass.cuh>

#include "kv_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);

struct work {
  int tokens, queries, kv_heads, group, head_dim, page_shift;
};

template <class Element>
void same_mass(work w, key_mass_options const& o, index_t gap = 0) {
  testing::host_kv<Element> keys(w.tokens, w.kv_heads, w.head_dim);
  keys.fill(4, 2);
  if (w.tokens > 2) { std::fill_n(keys.value(2, 0), w.head_dim, Element(0.0F)); }  // a value without length weighs nothing
  int const heads = w.kv_heads * w.group;
  index_t const row = w.head_dim + gap, line = w.tokens + gap;
  auto const q = numbers(w.queries * heads * row, 6, 3);
  auto const queries = [&](float const* data) {
    return tensor_view<float const, 3>(data, {w.queries, heads, w.head_dim}, {heads * row, row, 1});
  };
  auto const scores = [&](float* data) { return tensor_view<float, 2>(data, {w.kv_heads, w.tokens}, {line, 1}); };
  std::vector<float> const before(static_cast<std::size_t>(w.kv_heads * line), -1.0F);
  auto want = before;
  key_mass(oracle, queries(q.data()), keys.view(), o, scores(want.data()));
  each_device([&](auto const& b) {
    CAPTURE(w.tokens);
    CAPTURE(w.head_dim);
    auto const kv = kv_of(b, keys, w.page_shift);
    auto const dq = on_device(b, q);
    auto got = on_device(b, before);
    key_mass(b, queries(dq.data()), kv.view(), o, scores(got.data()));
    auto const seen = on_host(b, got);
    double most = 0;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      double const e = std::fabs(double{seen[i]} - want[i]) / (std::fabs(want[i]) + 1e-9);
      if (!std::isnan(most) && !(e <= most)) { most = e; }
    }
    CHECK(most <= 5e-5);  // each key's mass in proportion, however little it is
  });
}

}  // namespace

TEST_CASE("the mass of a key is the reference's: pages or none, groups of heads, lengths that no tile divides") {
  same_mass<bf16>({300, 3, 2, 4, 64, 30}, {});
  same_mass<bf16>({129, 5, 2, 3, 24, 4}, {});
  same_mass<f16>({257, 2, 1, 1, 37, 5}, {});
  same_mass<bf16>({200, 9, 1, 4, 32, 4}, {});  // more rows than tensor cores take at once
  same_mass<float>({128, 1, 3, 2, 10, 30}, {}, 3);
}

TEST_CASE("a context of several tiles is merged") { same_mass<float>({2 * softmax_parts_kernel::tile + 5, 1, 1, 1, 8, 30}, {}); }

TEST_CASE("tiles are merged however many there are, more than a warp's lanes too") {
  int const lines = 5;
  for (int const tiles : {1, 32, 33, 70}) {
    auto const tops = numbers(lines * tiles, 9, 4);
    std::vector<softmax_part> parts;
    std::vector<double> top(lines, -INFINITY), weight(lines, 0.0);
    for (int i = 0; i < lines * tiles; ++i) {
      bool const seen = i % tiles == 0 || i % 7 != 0;
      auto const line = static_cast<std::size_t>(i / tiles);
      parts.push_back({seen ? tops[static_cast<std::size_t>(i)] : -std::numeric_limits<float>::infinity(),
                       seen ? static_cast<float>(1 + i % 5) : 0.0F});
      top[line] = std::max(top[line], double{parts.back().top});
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      auto const line = i / static_cast<std::size_t>(tiles);
      weight[line] += double{parts[i].weight} * std::exp(double{parts[i].top} - top[line]);
    }
    each_device([&](auto const& b) {
      CAPTURE(tiles);
      auto const from = on_device(b, parts);
      auto wholes = b.template make_buffer<softmax_part>(lines);
      b.launch({blocks_for(lines, merge_softmax_kernel::threads / 32)}, merge_softmax_kernel{from.data(), lines, tiles, wholes.data()});
      auto const got = on_host(b, wholes);
      for (std::size_t line = 0; line < got.size(); ++line) {
        CHECK(double{got[line].top} == top[line]);
        CHECK(!(std::fabs(double{got[line].weight} - weight[line]) > 1e-5 * weight[line]));
      }
    });
  }
}

TEST_CASE("keys of 16 bits whose rows begin anywhere") {
  testing::host_kv<bf16> keys(150, 1, 20);
  keys.fill(5);
  auto const narrow = [](kv_view<bf16> all) {
    all.head_dim = 16;  // of rows of 40 bytes
    return all;
  };
  auto const q = numbers(3 * 2 * 16, 9);
  std::vector<float> want(150);
  key_mass(oracle, tensor_view<float const, 3>(q.data(), {3, 2, 16}), narrow(keys.view()), {}, tensor_view<float, 2>(want.data(), {1, 150}));
  each_device([&](auto const& b) {
    auto const kv = kv_of(b, keys);
    auto const dq = on_device(b, q);
    auto got = on_device(b, std::vector<float>(150, -1.0F));
    key_mass(b, tensor_view<float const, 3>(dq.data(), {3, 2, 16}), narrow(kv.view()), {}, tensor_view<float, 2>(got.data(), {1, 150}));
    CHECK(worst(on_host(b, got), want) <= 1e-6);
  });
}

TEST_CASE("nothing asked, nothing to ask of, and a single key") {
  same_mass<float>({70, 0, 1, 2, 16, 30}, {});
  same_mass<float>({0, 2, 1, 2, 16, 30}, {});
  same_mass<float>({1, 2, 2, 2, 16, 30}, {});
}

TEST_CASE("every option is the reference's, alone and together") {
  key_mass_options largest, tail, weighed, pooled, all;
  largest.reduce = all.reduce = head_reduce::max;
  tail.tail = all.tail = true;
  weighed.value_norm = all.value_norm = true;
  pooled.pool = all.pool = 5;
  for (auto const& o : {largest, tail, weighed, pooled, all}) { same_mass<bf16>({150, 4, 2, 2, 16, 4}, o, 1); }
  same_mass<f16>({60, 2, 1, 2, 72, 30}, weighed);
  same_mass<float>({9, 9, 1, 2, 16, 30}, tail);
}

TEST_CASE("queries that do not fit into the scratch together are added in turns") {
  testing::host_kv<float> keys(130, 2, 8);
  keys.fill(7);
  auto const q = numbers(7 * 4 * 8, 8);
  std::vector<float> want(260);
  key_mass_options tail;
  tail.tail = true;
  key_mass(oracle, tensor_view<float const, 3>(q.data(), {7, 4, 8}), keys.view(), tail, tensor_view<float, 2>(want.data(), {2, 130}));
  each_device([&](auto const& b) {
    auto const kv = kv_of(b, keys);
    auto const dq = on_device(b, q);
    for (index_t const held : {1, 3 * 4 * 132}) {
      auto got = on_device(b, std::vector<float>(260, -1.0F));
      detail::mass_of_heads(b, tensor_view<float const, 3>(dq.data(), {7, 4, 8}), kv.view(), 0, 2, true, 0.5F,
                            tensor_view<float, 2>(got.data(), {2, 130}), held);
      CHECK(worst(on_host(b, got), want) <= 1e-6);
    }
  });
}
