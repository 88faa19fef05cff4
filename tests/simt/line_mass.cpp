// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <span>

#include <loopserve/ops/line_mass.cuh>

#include "kv_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);

struct work {
  int rows, keys, kv_heads, group, head_dim, page_shift, sampled;
};

/// Ascending rows, some at random and the last few, others for each head.
std::vector<int> rows_of(work w, int head) {
  std::vector<int> rows;
  counter_rng const random{static_cast<std::uint64_t>(head), 77};
  for (int i = 0; i < w.sampled; ++i) {
    int const from = i * w.rows / w.sampled, to = (i + 1) * w.rows / w.sampled;
    rows.push_back(i + 1 == w.sampled
                       ? w.rows - 1
                       : from + static_cast<int>(random.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(to - from))));
  }
  return rows;
}

/// Attention of all heads' sampled rows, (heads, sampled, keys) in (some gap between q's rows), as the reference has it.
struct case_of_scores {
  template <class Element>
  case_of_scores(work w, testing::host_kv<Element>& kv, index_t gap) : w(w), heads(w.kv_heads * w.group), line(w.head_dim + gap) {
    q = numbers(w.rows * heads * line, 5, 3);
    for (int h = 0; h < heads; ++h) {
      auto const rows = rows_of(w, h);
      std::vector<float> a(static_cast<std::size_t>(w.sampled * w.keys));
      line_scores(oracle, view(q.data()), kv.view(), rows, h, tensor_view<float, 2>(a.data(), {w.sampled, w.keys}));
      want.insert(want.end(), a.begin(), a.end());
      for (int const r : rows) { positions.push_back(w.keys - w.rows + r); }
    }
  }
  tensor_view<float const, 3> view(float const* data) const { return {data, {w.rows, heads, w.head_dim}, {heads * line, line, 1}}; }

  work w;
  int heads;
  index_t line;
  std::vector<float> q, want;
  std::vector<int> positions;
};

/// The largest difference between the device's softmax of a head's rows and the reference's, in proportion.
template <class B>
double score_error(B const& b, line_logits<B> const& made, case_of_scores const& c, int first_head, int heads) {
  auto const wholes = on_host(b, made.wholes);
  double most = 0;
  for (int h = 0; h < heads; ++h) {
    for (int i = 0; i < c.w.sampled; ++i) {
      auto const row = static_cast<std::size_t>(h * c.w.sampled + i), from = static_cast<std::size_t>((first_head + h) * c.w.sampled + i);
      std::vector<float> logits(static_cast<std::size_t>(c.positions[from]) + 1);  // what lies behind is not defined
      b.copy_to_host(logits.data(), made.logits.data() + static_cast<index_t>(row) * made.stride, static_cast<index_t>(logits.size() * sizeof(float)));
      for (int k = 0; k <= c.positions[from]; ++k) {
        double const want = c.want[from * static_cast<std::size_t>(c.w.keys) + static_cast<std::size_t>(k)];
        double const got = std::exp(double{logits[static_cast<std::size_t>(k)]} - wholes[row].top) / wholes[row].weight;
        double const e = std::fabs(got - want) / (want + 1e-6);
        if (!(e <= most)) { most = e; }
      }
    }
  }
  return most;
}

template <class Element>
void same_scores(work w, index_t gap = 0) {
  testing::host_kv<Element> keys(w.keys, w.kv_heads, w.head_dim);
  keys.fill(4, 1.5);
  case_of_scores const c(w, keys, gap);
  each_device([&](auto const& b) {
    CAPTURE(w.keys);
    CAPTURE(w.head_dim);
    auto const kv = kv_of(b, keys, w.page_shift);
    auto const q = on_device(b, c.q);
    auto const positions = on_device(b, c.positions);
    CHECK(score_error(b, score_lines(b, c.view(q.data()), kv.view(), 0, c.heads, positions.data(), w.sampled), c, 0, c.heads) <= 2e-4);
    if (c.heads < 3) { return; }
    // Heads that begin and end inside a KV head's.
    auto const part = score_lines(b, c.view(q.data()), kv.view(), 1, c.heads - 2, positions.data() + w.sampled, w.sampled);
    CHECK(score_error(b, part, c, 1, c.heads - 2) <= 2e-4);
  });
}

/// The masses of lines, without forced cells, and what is uncovered, against the reference's sums over the same matrix.
void same_masses(int rows, int keys, int sampled, int sinks, int local) {
  int const heads = 2;
  work const w{rows, keys, 1, heads, 16, 30, sampled};
  testing::host_kv<float> kv(keys, 1, 16);
  kv.fill(3, 1.5);
  case_of_scores const c(w, kv, 0);
  index_t const stride = (keys + 15) / 16 * 16;
  each_device([&](auto const& b) {
    CAPTURE(keys);
    CAPTURE(local);
    auto const a = on_device(b, c.want);
    auto const positions = on_device(b, c.positions);
    using search_type = line_search<mass_cells>;
    auto const lines = static_cast<std::size_t>(heads * 2 * stride);
    auto mass = on_device(b, std::vector<float>(lines, -7.0F));
    auto taken = on_device(b, std::vector<unsigned char>(lines, 7));
    auto order = on_device(b, std::vector<int>(lines, -7));
    auto level = on_device(b, std::vector<std::uint16_t>(lines, 7));
    auto counted = on_device(b, std::vector<int>(heads * 2 * 2 * search_type::levels, 0));
    auto uncovered = on_device(b, std::vector<exact_mass>(heads, 0));
    search_type const search{{a.data(), keys},
                             positions.data(),
                             sampled,
                             rows,
                             keys,
                             sinks,
                             local,
                             true,
                             stride,
                             mass.data(),
                             nullptr,
                             taken.data(),
                             order.data(),
                             level.data(),
                             counted.data(),
                             counted.data() + heads * 2 * search_type::levels,
                             uncovered.data()};
    using sums = line_mass_kernel<mass_cells>;
    using sort = order_lines_kernel<mass_cells>;
    b.launch({blocks_for(keys, sums::tile), 2, heads}, sums{search});
    b.launch({blocks_for(keys, sort::tile), 2, heads}, sort{search});
    auto const got = on_host(b, mass);
    auto const chosen = on_host(b, taken);
    auto const ordered = on_host(b, order);
    auto const levels = on_host(b, level);
    auto const counts = on_host(b, counted);
    auto const rest = on_host(b, uncovered);
    for (int h = 0; h < heads; ++h) {
      auto open = c.want;  // the head's matrix, forced cells taken out
      std::span<int const> const its(c.positions.data() + h * sampled, static_cast<std::size_t>(sampled));
      double left = 0;
      for (int i = 0; i < sampled; ++i) {
        for (int k = 0; k <= its[static_cast<std::size_t>(i)]; ++k) {
          float& cell = open[static_cast<std::size_t>((h * sampled + i) * keys + k)];
          if (k < sinks || its[static_cast<std::size_t>(i)] - k < local) { cell = 0; }
          left += cell;
        }
      }
      std::vector<double> want[2] = {std::vector<double>(static_cast<std::size_t>(keys)),
                                     std::vector<double>(static_cast<std::size_t>(keys))};
      line_mass(oracle, tensor_view<float const, 2>(open.data() + static_cast<std::ptrdiff_t>(h) * sampled * keys, {sampled, keys}), its,
                want[0], want[1]);
      CHECK(!(std::fabs(static_cast<double>(rest[static_cast<std::size_t>(h)]) * 0x1p-40 - left) > 1e-6 * (1 + left)));
      for (int kind = 0; kind < 2; ++kind) {
        auto const at = static_cast<std::size_t>(search.lines_of(h, kind));
        std::vector<int> some;
        for (int line = 0; line < keys; ++line) {
          auto const i = static_cast<std::size_t>(line);
          CHECK((chosen[at + i] != 0) == (line < (kind == 0 ? sinks : local)));
          CHECK(!(std::fabs(got[at + i] - want[kind][i]) > 1e-6 * (1e-3 + want[kind][i])));
          if (got[at + i] > 0) { some.push_back(line); }
        }
        for (auto i = at + static_cast<std::size_t>(keys); i < at + static_cast<std::size_t>(stride); ++i) {
          CHECK((got[i] == -7 && chosen[i] == 7 && ordered[i] == -7 && levels[i] == 7));  // between lists nothing is touched
        }
        // In order: falling levels, each line once.
        std::vector<int> listed(ordered.begin() + static_cast<std::ptrdiff_t>(at),
                                ordered.begin() + static_cast<std::ptrdiff_t>(at + some.size()));
        for (std::size_t i = 0; i < listed.size(); ++i) {
          int const its_level = levels[at + i], line = listed[i];
          REQUIRE((line >= 0 && line < keys));
          CHECK(its_level == search.level_of(search.worth(got[at + static_cast<std::size_t>(line)], line)));
          CHECK((i == 0 || levels[at + i - 1] >= its_level));
        }
        std::sort(listed.begin(), listed.end());
        CHECK(listed == some);
        int all = 0;
        for (int l = 0; l < search_type::levels; ++l) { all += counts[static_cast<std::size_t>((h * 2 + kind) * search_type::levels + l)]; }
        CHECK(all == static_cast<int>(some.size()));
      }
    }
  });
}

}  // namespace

TEST_CASE("scores of sampled rows are the reference's on the tensor cores: pages or none, groups of heads, sizes that no tile divides") {
  same_scores<bf16>({70, 300, 2, 3, 64, 30, 21});
  same_scores<f16>({37, 129, 1, 2, 32, 4, 17});
  same_scores<bf16>({33, 33, 2, 2, 48, 4, 33}, 3);
  same_scores<f16>({130, 257, 1, 1, 128, 5, 64});
  same_scores<bf16>({1, 1, 1, 1, 16, 30, 1});
}

TEST_CASE("and without them: other elements, any head_dim, rows that begin anywhere") {
  same_scores<float>({70, 150, 2, 2, 24, 30, 19});
  same_scores<bf16>({40, 131, 1, 3, 37, 4, 9}, 1);
  same_scores<float>({1, 1, 1, 1, 10, 30, 1});
}

TEST_CASE("lines' masses are the reference's without the forced cells, and lines come in order of their worth") {
  for (int const local : {1, 5}) {
    same_masses(1, 1, 1, 0, 1);
    same_masses(1, 37, 1, 2, local);
    same_masses(60, 60, 20, 3, local);
    same_masses(50, line_mass_kernel<mass_cells>::tile + 70, 12, 4, local);
  }
}

TEST_CASE("lines of several tiles are put in order together") { same_masses(9, order_lines_kernel<mass_cells>::tile + 33, 3, 0, 1); }

TEST_CASE("shapes that do not agree are refused") {
  testing::host_kv<float> keys(20, 2, 8);
  auto const q = numbers(20 * 4 * 8, 1);
  each_device([&](auto const& b) {
    auto const kv = kv_of(b, keys);
    CHECK_THROWS_AS(score_lines(b, tensor_view<float const, 3>(q.data(), {20, 3, 8}), kv.view(), 0, 3, nullptr, 1), error);
    CHECK_THROWS_AS(score_lines(b, tensor_view<float const, 3>(q.data(), {20, 4, 6}), kv.view(), 0, 4, nullptr, 1), error);
    CHECK_THROWS_AS(score_lines(b, tensor_view<float const, 3>(q.data(), {21, 4, 8}), kv.view(), 0, 4, nullptr, 1), error);
    CHECK_THROWS_AS(score_lines(b, tensor_view<float const, 3>(q.data(), {20, 4, 8}), kv.view(), 3, 2, nullptr, 1), error);
    CHECK(score_lines(b, tensor_view<float const, 3>(q.data(), {20, 4, 8}), kv.view(), 0, 0, nullptr, 1).logits.size() == 0);
  });
}
