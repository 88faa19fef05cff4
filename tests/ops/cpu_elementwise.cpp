// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>

using namespace loopserve;

namespace {

std::vector<cpu> backends() {
  std::vector<cpu> found;
  for (auto level : supported_isas()) {
    found.emplace_back(cpu_options{.threads = 2, .level = level});
  }
  return found;
}

std::vector<float> numbers(index_t count, std::uint64_t seed, double scale = 1) {
  counter_rng const draw{seed};
  std::vector<float> v(static_cast<std::size_t>(count));
  for (index_t i = 0; i < count; ++i) { v[i] = static_cast<float>((draw.uniform(i) * 2 - 1) * scale); }
  return v;
}

double worst(std::vector<float> const& a, std::vector<float> const& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto const e = std::fabs(static_cast<double>(a[i]) - b[i]) / (1 + std::fabs(b[i]));
    if (!std::isnan(most) && !(e <= most)) { most = e; }
  }
  return most;
}

using view = tensor_view<float, 2>;
constexpr float infinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("rmsnorm, silu_mul, add and softmax are the reference's at ragged and empty sizes, dense and strided") {
  reference const oracle(1);
  for (auto const& b : backends()) {
    for (index_t rows : {0, 1, 3, 90}) {
      for (index_t width : {0, 1, 7, 16, 37, 1000}) {
        auto const x = numbers(rows * width, 1, 8);
        auto const y = numbers(rows * width, 2);
        auto const weight = numbers(width, 3);
        auto const check_all = [&](index_t step) {
          auto const spread = [&](std::vector<float> const& v) {
            std::vector<float> out(v.size() * static_cast<std::size_t>(step), 5.0F);
            for (std::size_t i = 0; i < v.size(); ++i) { out[i * step] = v[i]; }
            return out;
          };
          auto const of = [&](std::vector<float>& v) { return view(v.data(), {rows, width}, {width * step, step}); };
          auto sx = spread(x), sy = spread(y), got = spread(x), want = spread(x);
          rmsnorm(b, of(sx), weight, 1e-5F, of(got));
          rmsnorm(oracle, of(sx), weight, 1e-5F, of(want));
          CHECK(worst(got, want) <= 1e-6);
          silu_mul(b, of(sx), of(sy), of(got));
          silu_mul(oracle, of(sx), of(sy), of(want));
          CHECK(worst(got, want) <= 1e-6);
          got = want = sy;
          add(b, of(sx), of(got));
          add(oracle, of(sx), of(want));
          CHECK(worst(got, want) == 0);
          got = want = sx;
          softmax_rows(b, of(got));
          softmax_rows(oracle, of(want));
          CHECK(worst(got, want) <= 1e-6);
        };
        check_all(1);
        check_all(2);
      }
    }
  }
}

TEST_CASE("silu of numbers far out is zero or the number itself") {
  std::vector<float> const gate = {-1000, -100, -88, 88, 100, 1000, 0};
  std::vector<float> const up(7, 1.0F);
  for (auto const& b : backends()) {
    std::vector<float> got(7), want(7);
    silu_mul(b, tensor_view<float const, 2>(gate.data(), {1, 7}), tensor_view<float const, 2>(up.data(), {1, 7}), view(got.data(), {1, 7}));
    silu_mul(reference(1), tensor_view<float const, 2>(gate.data(), {1, 7}), tensor_view<float const, 2>(up.data(), {1, 7}), view(want.data(), {1, 7}));
    CHECK(worst(got, want) <= 1e-6);
  }
}

TEST_CASE("softmax of hidden cells, of nothing visible, of a number that is none") {
  for (auto const& b : backends()) {
    std::vector<float> x(40, -infinity);
    softmax_rows(b, view(x.data(), {1, 40}));
    CHECK(worst(x, std::vector<float>(40, 0.0F)) == 0);
    x.assign(40, -infinity);
    x[33] = -3e38F;
    softmax_rows(b, view(x.data(), {1, 40}));
    CHECK(x[33] == 1);
    CHECK(x[0] == 0);
    x[5] = NAN;
    softmax_rows(b, view(x.data(), {1, 40}));
    CHECK(std::isnan(x[0]));
  }
}

TEST_CASE("rope is the reference's for every layout") {
  for (auto const& b : backends()) {
    for (index_t rows : {0, 1, 40}) {
      for (int head_dim : {2, 24, 48, 64, 66}) {
        for (int pairs : {head_dim / 2, head_dim / 4}) {
          for (bool interleaved : {false, true}) {
            std::vector<float> frequency(static_cast<std::size_t>(pairs));
            for (int i = 0; i < pairs; ++i) { frequency[i] = static_cast<float>(std::pow(10000.0, -2.0 * i / head_dim)); }
            std::vector<int> positions;
            for (int r = 0; r < rows; ++r) { positions.push_back(r * 977); }
            auto got = numbers(rows * 3 * head_dim, 4);
            auto want = got;
            rope_view const freq{frequency.data(), pairs, 1.25F, interleaved};
            rope(b, tensor_view<float, 3>(got.data(), {rows, 3, head_dim}), positions, freq);
            rope(reference(1), tensor_view<float, 3>(want.data(), {rows, 3, head_dim}), positions, freq);
            CHECK(worst(got, want) <= 1e-6);
          }
        }
      }
    }
  }
}

TEST_CASE("embed copies rows of every stored type exactly, and refuses ids that are none") {
  for (auto const& b : backends()) {
    for (auto type : {element_type::f32, element_type::f16, element_type::bf16, element_type::q8_0}) {
      for (index_t width : {32, 96, 101}) {
        if (type == element_type::q8_0 && width % 32 != 0) { continue; }
        std::vector<unsigned char> bytes(static_cast<std::size_t>(9 * bytes_of(type, width)));
        counter_rng const draw{2};
        // Bytes below 0x70 make no pattern of infinity or NaN in any of the types.
        for (std::size_t i = 0; i < bytes.size(); ++i) { bytes[i] = static_cast<unsigned char>(draw.uniform(i) * 0x70); }
        weight_view const table{type, 9, width, bytes.data()};
        std::vector<token_id> const ids = {token_id{8}, token_id{0}, token_id{3}, token_id{3}};
        std::vector<float> got(static_cast<std::size_t>(4 * width)), want(got.size());
        embed(b, table, ids, view(got.data(), {4, width}));
        embed(reference(1), table, ids, view(want.data(), {4, width}));
        CHECK(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)) == 0);
        embed(b, table, {}, view(got.data(), {0, width}));
        for (int bad : {-1, 9}) {
          std::vector<token_id> const one = {token_id{bad}};
          CHECK_THROWS_AS(embed(b, table, one, view(got.data(), {1, width})), error);
        }
      }
    }
  }
}

TEST_CASE("argmax takes the first of the largest and refuses what is not a number") {
  for (auto const& b : backends()) {
    for (int n : {1, 5, 16, 33, 1024, 3001}) {
      auto x = numbers(n, 6);
      for (int at : {0, n / 2, n - 1}) {
        auto y = x;
        y[at] = 2;
        CHECK(argmax(b, y) == at);
        y[n - 1] = 2;
        CHECK(argmax(b, y) == at);
        y[at] = NAN;
        CHECK_THROWS_AS(argmax(b, y), error);
      }
      CHECK(argmax(b, std::vector<float>(static_cast<std::size_t>(n), -infinity)) == 0);
    }
    CHECK_THROWS_AS(argmax(b, std::span<float const>{}), error);
  }
}
