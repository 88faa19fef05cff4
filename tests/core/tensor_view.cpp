// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <numeric>
#include <type_traits>
#include <vector>

#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/tensor_view.hpp>

using loopserve::index_t;
using loopserve::kv_view;
using loopserve::tensor_view;

TEST_CASE("a dense view counts row-major, slices and rows point into the same memory") {
  std::vector<int> v(2 * 3 * 4);
  std::iota(v.begin(), v.end(), 0);
  tensor_view<int, 3> const t(v.data(), {2, 3, 4});
  CHECK(t.size() == 24);
  CHECK(t.extents() == std::array<index_t, 3>{2, 3, 4});
  CHECK(t.strides() == std::array<index_t, 3>{12, 4, 1});
  CHECK(t(1, 2, 3) == 23);
  CHECK(t(0, 1, 0) == 4);
  CHECK(t[1](2, 3) == 23);
  CHECK(t[1][2](0) == 20);
  CHECK(t[1].extents() == std::array<index_t, 2>{3, 4});
  CHECK(t.rows(1, 1).extents() == std::array<index_t, 3>{1, 3, 4});
  CHECK(t.rows(1, 1)(0, 0, 1) == 13);
  t(0, 0, 0) = 7;
  CHECK(v[0] == 7);
}

TEST_CASE("strides may leave gaps and turn axes round") {
  std::vector<float> v(40);
  std::iota(v.begin(), v.end(), 0.0F);
  tensor_view<float, 2> const padded(v.data(), {3, 4}, {10, 1});
  CHECK(padded(2, 3) == 23);
  CHECK(padded[2](3) == 23);
  CHECK(padded.rows(1, 2)(1, 0) == 20);
  tensor_view<float const, 2> const transposed(v.data(), {4, 3}, {1, 10});
  CHECK(transposed(3, 2) == 23);
  tensor_view<float const, 2> const reading = padded;
  CHECK(reading.strides() == padded.strides());
  CHECK(reading(1, 1) == 11);
}

TEST_CASE("an empty view has no elements") {
  CHECK(tensor_view<float, 2>{}.size() == 0);
  CHECK(tensor_view<float, 2>(nullptr, {0, 5}).size() == 0);
  CHECK(tensor_view<float, 2>(nullptr, {5, 0}).size() == 0);
}

TEST_CASE("keys are found through pages of any size, by slices too, and runs end where pages and views do") {
  int const tokens = 11, heads = 2, dim = 3;
  for (int shift : {0, 1, 2, 30}) {
    index_t const page = shift == 30 ? 16 : index_t{1} << shift;
    int const pages = static_cast<int>((tokens + page - 1) / page);
    // Page p of head h, row r of it, channel c holds the token's number: 100 h + token, and the value minus that.
    std::vector<float> keys(static_cast<std::size_t>(heads * pages * page * dim)), values(keys.size());
    std::vector<float const*> key_pages, value_pages;
    for (int h = 0; h < heads; ++h) {
      for (int p = 0; p < pages; ++p) {
        // Pages lie in reverse, as a pool may hand them out.
        auto const at = static_cast<std::size_t>(((h * pages + (pages - 1 - p)) * page) * dim);
        key_pages.push_back(keys.data() + at);
        value_pages.push_back(values.data() + at);
        for (index_t r = 0; r < page; ++r) {
          for (int c = 0; c < dim; ++c) {
            keys[at + static_cast<std::size_t>(r * dim + c)] = static_cast<float>(100 * h + p * page + r);
            values[at + static_cast<std::size_t>(r * dim + c)] = -keys[at + static_cast<std::size_t>(r * dim + c)];
          }
        }
      }
    }
    kv_view<float> kv;
    kv.key_pages = key_pages.data();
    kv.value_pages = value_pages.data();
    kv.page_table_stride = pages;
    kv.page_shift = shift;
    kv.row_stride = dim;
    kv.kv_heads = heads;
    kv.head_dim = dim;
    kv.tokens = tokens;
    for (int from : {0, 3}) {
      auto const part = kv.slice(from, tokens - from - 1);
      for (int h = 0; h < heads; ++h) {
        for (int i = 0; i < part.length(h); ++i) {
          CHECK(part.key(i, h)[1] == static_cast<float>(100 * h + from + i));
          CHECK(part.value(i, h)[2] == -static_cast<float>(100 * h + from + i));
          CHECK(part.position(i, h) == from + i);
          int const run = part.run(i, h);
          CHECK(run >= 1);
          CHECK(i + run <= part.length(h));
          for (int j = 0; j < run; ++j) { CHECK(part.key(i + j, h) == part.key(i, h) + j * part.row_stride); }
          CHECK((i + run == part.length(h) || (from + i + run) % page == 0));
        }
      }
    }
  }
}
