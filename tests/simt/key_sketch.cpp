// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <type_traits>

#include <loopserve/ops/key_sketch.cuh>

#include "kv_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);

/// A sketch's arrays on the host, and a view of them or of a copy elsewhere.
struct sketch_arrays {
  int kv_heads, head_dim, bits, groups;
  std::vector<f16> lo, step;
  std::vector<std::uint32_t> codes;

  sketch_arrays(int heads, int dim, int width, int full) : kv_heads(heads), head_dim(dim), bits(width), groups(full) {
    lo.resize(static_cast<std::size_t>(full * heads * dim), f16(7));
    step = lo;
    codes.resize(static_cast<std::size_t>(full * heads * view(nullptr, nullptr, nullptr).words() * sketch_group), 0xabcdu);
  }
  key_sketch_view view(f16* l, f16* s, std::uint32_t* c) const { return {kv_heads, head_dim, bits, groups, l, s, c}; }
  key_sketch_view view() { return view(lo.data(), step.data(), codes.data()); }
};

std::vector<int> bits_of(std::vector<f16> const& v) {
  std::vector<int> bits;
  for (auto const x : v) { bits.push_back(x.bits); }
  return bits;
}

template <class Element>
void check_packing(int head_dim, int bits, int page_shift) {
  testing::host_kv<Element> keys(5 * sketch_group + 3, 2, head_dim);
  keys.fill(static_cast<std::uint64_t>(head_dim));
  for (int t = 0; t < 5 * sketch_group; ++t) {
    keys.key(t, 0)[0] = Element(0.25F);                          // no extent
    keys.key(t, 1)[0] = Element(t % 2 == 0 ? -1e-7F : 3e-6F);    // subnormal steps
    keys.key(t, 1)[1] = Element(t % 3 == 0 ? 40000.0F : -7.0F);  // a coarse one
  }
  sketch_arrays want(2, head_dim, bits, 5);
  sketch_arrays const before = want;
  sketch_keys(oracle, keys.view(), 1, 4, want.view());
  each_device([&](auto const& b) {
    CAPTURE(head_dim);
    CAPTURE(bits);
    auto const kv = kv_of(b, keys, page_shift);
    auto lo = on_device(b, before.lo), step = on_device(b, before.step);
    auto codes = on_device(b, before.codes);
    sketch_keys(b, kv.view(), 1, 4, want.view(lo.data(), step.data(), codes.data()));
    sketch_keys(b, kv.view(), 2, 2, want.view(lo.data(), step.data(), codes.data()));
    CHECK(bits_of(on_host(b, lo)) == bits_of(want.lo));
    CHECK(bits_of(on_host(b, step)) == bits_of(want.step));
    CHECK(on_host(b, codes) == want.codes);
  });
}

struct scoring {
  int tokens, groups, queries, kv_heads, group, head_dim, bits, page_shift;
};

template <class Element>
void check_scores(scoring s, index_t gap = 0) {
  testing::host_kv<Element> keys(s.tokens, s.kv_heads, s.head_dim);
  keys.fill(3, 2);
  int const heads = s.kv_heads * s.group;
  index_t const row = s.head_dim + gap;
  auto const q = numbers(s.queries * heads * row, 5, 3);
  sketch_arrays sketch(s.kv_heads, s.head_dim, s.bits, s.groups);
  sketch_keys(oracle, keys.view(), 0, s.groups, sketch.view());
  auto const queries = [&](float const* data) {
    return tensor_view<float const, 3>(data, {s.queries, heads, s.head_dim}, {heads * row, row, 1});
  };
  std::vector<float> want(static_cast<std::size_t>(s.kv_heads * s.tokens), -1.0F);
  sketch_scores(oracle, queries(q.data()), keys.view(), sketch.view(), tensor_view<float, 2>(want.data(), {s.kv_heads, s.tokens}));
  each_device([&](auto const& b) {
    CAPTURE(s.tokens);
    CAPTURE(s.head_dim);
    CAPTURE(s.bits);
    auto const kv = kv_of(b, keys, s.page_shift);
    auto lo = on_device(b, sketch.lo), step = on_device(b, sketch.step);
    auto codes = on_device(b, sketch.codes);
    auto const dq = on_device(b, q);
    auto scores = on_device(b, std::vector<float>(want.size(), -1.0F));
    sketch_scores(b, queries(dq.data()), kv.view(), sketch.view(lo.data(), step.data(), codes.data()),
                  tensor_view<float, 2>(scores.data(), {s.kv_heads, s.tokens}));
    auto const got = on_host(b, scores);
    double worst_relative = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      double const e = std::fabs(double{got[i]} - want[i]) / (want[i] + 1e-9);
      if (!(e <= worst_relative)) { worst_relative = e; }
    }
    CHECK(worst_relative <= 1e-4);
  });
}

/// What a round of queries is asked to do. Rounds of 64 MiB of logits would take too long here: their test looks at what is launched.
struct round_of_queries {
  int first, rows;
  bool add;
  bool operator==(round_of_queries const&) const = default;
};

/// A device that runs nothing and gives next to no memory.
template <class B>
struct only_asked : B {
  std::vector<round_of_queries>* rounds;

  only_asked(B const& b, std::vector<round_of_queries>& to) : B(b), rounds(&to) {}
  template <class T>
  auto make_buffer(index_t n) const {
    return B::template make_buffer<T>(std::min<index_t>(n, 1));
  }
  template <device_kernel Kernel>
  void launch(grid, Kernel const& kernel) const {
    if constexpr (std::is_same_v<Kernel, sketch_logits_kernel<2>>) { rounds->push_back({kernel.first_query, kernel.rows, false}); }
    if constexpr (std::is_same_v<Kernel, softmax_mass_kernel>) { rounds->back().add = kernel.add; }
  }
};

}  // namespace

TEST_CASE("keys are packed bit for bit as the reference does, and only the groups asked for") {
  check_packing<bf16>(32, 2, 30);
  check_packing<bf16>(41, 1, 4);
  check_packing<f16>(20, 4, 4);
  check_packing<float>(132, 2, 5);
}

TEST_CASE("the scores of a sketch are the reference's, in proportion") {
  check_scores<bf16>({300, 4, 1, 2, 4, 64, 2, 30});
  check_scores<bf16>({64 * 9, 9, 1, 1, 3, 128, 2, 4});
  check_scores<f16>({201, 2, 2, 2, 3, 40, 4, 5});
  check_scores<float>({129, 2, 3, 1, 1, 37, 1, 30}, 3);
}

TEST_CASE("without full groups a sketch scores by the keys; without queries nothing is asked for") {
  check_scores<float>({63, 0, 1, 2, 2, 24, 2, 30});
  check_scores<float>({1, 0, 1, 1, 1, 8, 2, 30});
  check_scores<float>({70, 1, 0, 1, 2, 16, 2, 30});
  check_scores<float>({0, 0, 1, 1, 2, 16, 2, 30});
}

TEST_CASE("queries whose logits are more than 64 MiB are added in turns to what the first ones gave") {
  kv_view<float> kv;
  kv.kv_heads = 2;
  kv.head_dim = 8;
  kv.tokens = 4096;
  key_sketch_view const sketch{2, 8, 2, 64};
  each_device([&](auto const& b) {
    std::vector<round_of_queries> rounds;
    sketch_scores(only_asked(b, rounds), tensor_view<float const, 3>(nullptr, {130, 64, 8}), kv, sketch, tensor_view<float, 2>(nullptr, {2, 4096}));
    CHECK(rounds == std::vector<round_of_queries>{{0, 64 * 32, false}, {64, 64 * 32, true}, {128, 2 * 32, true}});
  });
}
