// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/ops/embed.hpp>
#include <loopserve/ops/matmul.hpp>

using namespace loopserve;

namespace {

/// Weights in any stored type, and what they stand for as float.
struct weights {
  std::vector<unsigned char> bytes;
  std::vector<float> values;
  weight_view view;

  weights(element_type type, index_t rows, index_t cols, std::uint64_t seed) {
    counter_rng const draw{seed};
    bytes.resize(static_cast<std::size_t>(rows * bytes_of(type, cols)));
    values.resize(static_cast<std::size_t>(rows * cols));
    view = {type, rows, cols, bytes.data()};
    for (index_t i = 0; i < rows * cols; ++i) { values[i] = static_cast<float>(draw.uniform(i) * 2 - 1); }
    for (index_t r = 0; r < rows; ++r) {
      auto* out = bytes.data() + r * bytes_of(type, cols);
      for (index_t c = 0; c < cols; ++c) {
        auto& v = values[r * cols + c];
        if (type == element_type::f32) { std::memcpy(out + 4 * c, &v, 4); }
        if (type == element_type::f16) { put(out + 2 * c, f16(v).bits), v = f16(v); }
        if (type == element_type::bf16) { put(out + 2 * c, bf16(v).bits), v = bf16(v); }
        if (type == element_type::q8_0) {
          auto* block = out + c / 32 * 34;
          float const scale = 0.0078125F * static_cast<float>(1 + c / 32);
          put(block, f16(scale).bits);
          auto const code = static_cast<signed char>(std::lround(v * 100));
          block[2 + c % 32] = static_cast<unsigned char>(code);
          v = scale * code;
        }
      }
    }
  }
  static void put(unsigned char* to, std::uint16_t bits) { std::memcpy(to, &bits, 2); }
};

}  // namespace

TEST_CASE("matmul is the sum of products for every stored type and ragged size") {
  for (auto type : {element_type::f32, element_type::f16, element_type::bf16, element_type::q8_0}) {
    for (index_t rows : {0, 1, 3, 17}) {
      for (index_t outputs : {0, 1, 5, 33, 70}) {
        for (index_t cols : {0, 1, 7, 32, 96, 101}) {
          if (type == element_type::q8_0 && cols % 32 != 0) { continue; }
          weights const w(type, outputs, cols, 7);
          counter_rng const draw{11};
          std::vector<float> x(rows * cols), bias(outputs), out(rows * outputs, 99.0F);
          for (std::size_t i = 0; i < x.size(); ++i) { x[i] = static_cast<float>(draw.uniform(i) - 0.5); }
          for (std::size_t i = 0; i < bias.size(); ++i) { bias[i] = static_cast<float>(i); }
          for (bool with_bias : {false, true}) {
            matmul(reference(2), tensor_view<float const, 2>(x.data(), {rows, cols}), w.view, with_bias ? std::span<float const>(bias) : std::span<float const>{},
                   tensor_view<float, 2>(out.data(), {rows, outputs}));
            for (index_t r = 0; r < rows; ++r) {
              for (index_t o = 0; o < outputs; ++o) {
                long double sum = with_bias ? bias[o] : 0;
                for (index_t i = 0; i < cols; ++i) { sum += static_cast<long double>(x[r * cols + i]) * w.values[o * cols + i]; }
                float const want = static_cast<float>(sum);
                CHECK(std::fabs(out[r * outputs + o] - want) <= 1e-6 * (1 + std::fabs(want)));
              }
            }
          }
        }
      }
    }
  }
}

TEST_CASE("a row of a product has the same bits alone, among others, and with any number of threads") {
  weights const w(element_type::bf16, 200, 300, 3);
  counter_rng const draw{5};
  std::vector<float> x(9 * 300), all(9 * 200), one(200);
  for (std::size_t i = 0; i < x.size(); ++i) { x[i] = static_cast<float>(draw.uniform(i) - 0.5); }
  matmul(reference(3), tensor_view<float const, 2>(x.data(), {9, 300}), w.view, {}, tensor_view<float, 2>(all.data(), {9, 200}));
  for (index_t r = 0; r < 9; ++r) {
    matmul(reference(1), tensor_view<float const, 2>(x.data() + r * 300, {1, 300}), w.view, {}, tensor_view<float, 2>(one.data(), {1, 200}));
    CHECK(std::memcmp(one.data(), all.data() + r * 200, 800) == 0);
  }
}

TEST_CASE("matmul honours strides and refuses shapes that do not agree") {
  weights const w(element_type::f32, 3, 4, 3);
  std::vector<float> x(2 * 10, 1.0F), out(2 * 8, -7.0F);
  tensor_view<float const, 2> const wide(x.data(), {2, 4}, {10, 1});
  matmul(reference(1), wide, w.view, {}, tensor_view<float, 2>(out.data(), {2, 3}, {8, 1}));
  for (int o = 0; o < 3; ++o) {
    float const want = w.values[4 * o] + w.values[4 * o + 1] + w.values[4 * o + 2] + w.values[4 * o + 3];
    CHECK(std::fabs(out[o] - want) <= 1e-6F);
    CHECK(out[8 + o] == out[o]);
  }
  CHECK(out[3] == -7.0F);
  CHECK_THROWS_AS(matmul(reference(1), wide, w.view, {}, tensor_view<float, 2>(out.data(), {2, 4})), error);
  CHECK_THROWS_AS(matmul(reference(1), wide, w.view, std::span<float const>(x.data(), 2), tensor_view<float, 2>(out.data(), {2, 3})), error);
}

TEST_CASE("embed takes rows of the table and refuses ids outside it") {
  for (auto type : {element_type::f32, element_type::f16, element_type::bf16, element_type::q8_0}) {
    weights const w(type, 10, 64, 21);
    std::vector<token_id> const ids = {token_id{9}, token_id{0}, token_id{9}};
    std::vector<float> out(3 * 64);
    embed(reference(1), w.view, ids, tensor_view<float, 2>(out.data(), {3, 64}));
    for (int r = 0; r < 3; ++r) {
      for (int i = 0; i < 64; ++i) { CHECK(out[r * 64 + i] == w.values[raw(ids[r]) * 64 + i]); }
    }
    embed(reference(1), w.view, {}, tensor_view<float, 2>(out.data(), {0, 64}));
    for (auto bad : {token_id{10}, token_id{-1}}) {
      CHECK_THROWS_AS(embed(reference(1), w.view, std::span<token_id const>(&bad, 1), tensor_view<float, 2>(out.data(), {1, 64})), error);
    }
  }
}
