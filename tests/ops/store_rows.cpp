// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>

namespace ls = loopserve;

namespace {

constexpr int kv_heads = 2;
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Rows of numbers of very different sizes, all within f16, and some that are none.
std::vector<float> rows_of(int tokens, int dim) {
  ls::counter_rng const random{4};
  std::vector<float> rows(static_cast<std::size_t>(tokens * kv_heads * dim));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = static_cast<float>(std::ldexp(random.uniform(i) - 0.5, static_cast<int>(random.below(i, 40)) - 24));
  }
  if (rows.size() > 3) { rows[3] = std::numeric_limits<float>::quiet_NaN(); }
  return rows;
}

/// Pages of four tokens, with what nobody may touch behind each row.
template <class Element>
struct pages {
  static constexpr int shift = 2, gap = 3;

  pages(int tokens, int dim) : stride((tokens + 3) / 4), row(dim + gap), memory(static_cast<std::size_t>(kv_heads * stride * 4 * row), Element(7.0F)) {
    for (int p = 0; p < kv_heads * stride; ++p) { table.push_back(memory.data() + static_cast<std::size_t>(p) * 4 * row); }
  }
  ls::page_table_view<Element> view() { return {table.data(), stride, shift, row}; }
  Element const* at(int token, int head) { return view().row(token, head); }

  int stride, row;
  std::vector<Element> memory;
  std::vector<Element*> table;
};

template <class Element>
bool same_bits(std::vector<Element> const& a, std::vector<Element> const& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Element)) == 0);
}

template <class Backend>
std::string refusal(Backend const& b, std::vector<float> const& rows, int first) {
  pages<ls::f16> to(8, 20);
  try {
    store_rows(b, ls::tensor_view<float const, 3>(rows.data(), {3, kv_heads, 20}), to.view(), first);
  } catch (ls::error const& e) { return e.what(); }
  return "";
}

}  // namespace

TEST_CASE_TEMPLATE("rows are converted and written where the page table says, and nowhere else", Element, float, ls::bf16, ls::f16) {
  for (int const dim : {1, 8, 20, 64}) {
    for (int const tokens : {0, 1, 5, 9}) {
      for (int const first : {0, 3}) {
        auto const rows = rows_of(tokens, dim);
        ls::tensor_view<float const, 3> const view(rows.data(), {tokens, kv_heads, dim});
        pages<Element> expected(tokens + first, dim);
        store_rows(ls::reference(1), view, expected.view(), first);
        int wrong = 0;
        for (int t = 0; t < tokens; ++t) {
          for (int h = 0; h < kv_heads; ++h) {
            for (int c = 0; c < dim; ++c) {
              float const got = expected.at(first + t, h)[c], want = Element(rows[static_cast<std::size_t>((t * kv_heads + h) * dim + c)]);
              wrong += got == want || (std::isnan(got) && std::isnan(want)) ? 0 : 1;
            }
            for (int c = dim; c < expected.row; ++c) { wrong += static_cast<float>(expected.at(first + t, h)[c]) == 7.0F ? 0 : 1; }
          }
        }
        CHECK(wrong == 0);
        for (auto const level : ls::supported_isas()) {
          pages<Element> found(tokens + first, dim);
          store_rows(ls::cpu({.threads = 1, .level = level}), view, found.view(), first);
          CHECK(same_bits(found.memory, expected.memory));
        }
      }
    }
  }
}

TEST_CASE("f16 refuses what it cannot hold, by place and value, and takes its own largest") {
  auto const in_each = [](auto const& examine) {
    examine(ls::reference(1));
    for (auto const level : ls::supported_isas()) { examine(ls::cpu({.threads = 1, .level = level})); }
  };
  for (int const channel : {0, 7, 17, 19}) {
    in_each([&](auto const& b) {
      std::vector<float> rows(3 * kv_heads * 20, 1.0F);
      auto& one = rows[static_cast<std::size_t>((1 * kv_heads + 1) * 20 + channel)];
      one = 65519.0F;  // rounds to 65504
      CHECK(refusal(b, rows, 4) == "");
      for (float const beyond : {65520.0F, -70000.0F, infinity}) {
        one = beyond;
        auto const said = refusal(b, rows, 4);
        CAPTURE(said);
        CHECK(said.find("token 5, KV head 1, channel " + std::to_string(channel) + ": ") == 0);
        CHECK(said.find(std::to_string(beyond)) != std::string::npos);
        CHECK(said.find("--kv-type") != std::string::npos);
      }
    });
  }
}
