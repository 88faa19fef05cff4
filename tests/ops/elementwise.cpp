// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/ops/add.hpp>
#include <loopserve/ops/argmax.hpp>
#include <loopserve/ops/rmsnorm.hpp>
#include <loopserve/ops/rope.hpp>
#include <loopserve/ops/silu_mul.hpp>
#include <loopserve/ops/softmax.hpp>

using namespace loopserve;

namespace {

std::vector<float> random_values(index_t n, std::uint64_t seed) {
  counter_rng const draw{seed};
  std::vector<float> v(static_cast<std::size_t>(n));
  for (index_t i = 0; i < n; ++i) { v[i] = static_cast<float>(4 * draw.uniform(i) - 2); }
  return v;
}

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

}  // namespace

TEST_CASE("rmsnorm divides a row by its root mean square") {
  for (index_t rows : {0, 1, 5}) {
    for (index_t width : {1, 3, 64, 200}) {
      auto x = random_values(rows * width, 1);
      auto const weight = random_values(width, 2);
      auto const before = x;
      tensor_view<float, 2> const view(x.data(), {rows, width});
      rmsnorm(reference(2), view, weight, 1e-3F, view);
      for (index_t r = 0; r < rows; ++r) {
        long double square = 0;
        for (index_t i = 0; i < width; ++i) { square += std::pow(static_cast<long double>(before[r * width + i]), 2); }
        for (index_t i = 0; i < width; ++i) {
          auto const want = before[r * width + i] * weight[i] / std::sqrt(square / width + 1e-3L);
          CHECK(std::fabs(x[r * width + i] - static_cast<float>(want)) <= 1e-6);
        }
      }
    }
  }
  std::vector<float> zero(4, 0.0F), one(4, 1.0F);
  tensor_view<float, 2> const view(zero.data(), {1, 4});
  rmsnorm(reference(1), view, one, 1e-5F, view);
  CHECK(zero[0] == 0.0F);
  CHECK_THROWS_AS(rmsnorm(reference(1), view, std::span<float const>(one.data(), 3), 1e-5F, view), error);
}

TEST_CASE("rope turns a pair of channels like a complex number") {
  for (bool interleaved : {false, true}) {
    for (index_t rows : {0, 1, 40}) {
      for (int pairs : {1, 4, 16}) {
        index_t const heads = 3;
        index_t const head_dim = 2 * pairs + (pairs == 4 ? 2 : 0);  // once with channels that are not rotated
        auto x = random_values(rows * heads * head_dim, 5);
        auto const before = x;
        std::vector<float> freq;
        for (int i = 0; i < pairs; ++i) { freq.push_back(static_cast<float>(std::pow(10000.0, -i / static_cast<double>(pairs)))); }
        std::vector<int> positions;
        for (index_t r = 0; r < rows; ++r) { positions.push_back(static_cast<int>(1000 * r + 7)); }
        rope(reference(2), tensor_view<float, 3>(x.data(), {rows, heads, head_dim}), positions, {freq.data(), pairs, 1.25F, interleaved});
        for (index_t r = 0; r < rows; ++r) {
          for (index_t h = 0; h < heads; ++h) {
            auto const at = (r * heads + h) * head_dim;
            for (int i = 0; i < pairs; ++i) {
              auto const low = at + (interleaved ? 2 * i : i);
              auto const high = interleaved ? low + 1 : low + pairs;
              auto const turned = std::complex<double>(before[low], before[high]) * std::polar(1.25, static_cast<double>(freq[i]) * positions[r]);
              CHECK(std::fabs(x[low] - turned.real()) <= 1e-6);
              CHECK(std::fabs(x[high] - turned.imag()) <= 1e-6);
            }
            for (auto c = 2 * pairs; c < head_dim; ++c) { CHECK(x[at + c] == before[at + c]); }
          }
        }
      }
    }
  }
  float x[2] = {3, 4};
  float const freq = 1;
  int const zero = 0;
  rope(reference(1), tensor_view<float, 3>(x, {1, 1, 2}), std::span<int const>(&zero, 1), {&freq, 1, 1, false});
  CHECK(x[0] == 3);
  CHECK(x[1] == 4);
  CHECK_THROWS_AS(rope(reference(1), tensor_view<float, 3>(x, {1, 1, 2}), {}, {&freq, 1, 1, false}), error);
}

TEST_CASE("silu_mul and add work element by element") {
  for (index_t rows : {0, 1, 7}) {
    for (index_t width : {0, 1, 33, 3000}) {
      auto const gate = random_values(rows * width, 3);
      auto const up = random_values(rows * width, 4);
      std::vector<float> out(gate.size());
      tensor_view<float, 2> const o(out.data(), {rows, width});
      tensor_view<float const, 2> const g(gate.data(), {rows, width});
      tensor_view<float const, 2> const u(up.data(), {rows, width});
      silu_mul(reference(2), g, u, o);
      add(reference(2), u, o);
      for (std::size_t i = 0; i < out.size(); ++i) {
        auto const want = gate[i] / (1 + std::exp(-static_cast<long double>(gate[i]))) * up[i] + up[i];
        CHECK(std::fabs(out[i] - static_cast<float>(want)) <= 1e-6);
      }
    }
  }
  float far[2] = {-200, 200};
  float const ones[2] = {1, 1};
  tensor_view<float, 2> const view(far, {1, 2});
  silu_mul(reference(1), view, tensor_view<float const, 2>(ones, {1, 2}), view);
  CHECK(std::fabs(far[0]) <= 1e-30F);
  CHECK(far[1] == 200);
}

TEST_CASE("argmax takes the first of the largest and refuses NaN") {
  auto const best = [](std::vector<float> const& v) { return argmax(reference(1), v); };
  CHECK(best({1}) == 0);
  CHECK(best({1, 3, 2, 3}) == 1);
  CHECK(best({-inf, -inf}) == 0);
  CHECK(best({-5, inf, inf}) == 1);
  CHECK_THROWS_AS(best({}), error);
  CHECK_THROWS_AS(best({1, 2, nan_value}), error);
  CHECK_THROWS_AS(best({nan_value, 2}), error);
}

TEST_CASE("softmax rows sum to one, also far from zero") {
  for (float shift : {0.0F, 1e4F, -1e4F}) {
    for (index_t width : {1, 2, 50}) {
      auto x = random_values(3 * width, 9);
      for (auto& v : x) { v += shift; }
      auto const before = x;
      softmax_rows(reference(1), tensor_view<float, 2>(x.data(), {3, width}));
      for (index_t r = 0; r < 3; ++r) {
        long double sum = 0;
        for (index_t i = 0; i < width; ++i) { sum += std::exp(static_cast<long double>(before[r * width + i]) - shift); }
        for (index_t i = 0; i < width; ++i) {
          auto const want = std::exp(static_cast<long double>(before[r * width + i]) - shift) / sum;
          CHECK(std::fabs(x[r * width + i] - static_cast<float>(want)) <= 1e-6);
        }
      }
    }
  }
  std::vector<float> hidden = {-inf, 0, -inf, -inf, nan_value, 1};
  softmax_rows(reference(1), tensor_view<float, 2>(hidden.data(), {3, 2}));
  CHECK(hidden[0] == 0);
  CHECK(hidden[1] == 1);
  CHECK(hidden[2] == 0);
  CHECK(hidden[3] == 0);
  CHECK(std::isnan(hidden[5]));
  softmax_rows(reference(1), tensor_view<float, 2>(hidden.data(), {3, 0}));
}
