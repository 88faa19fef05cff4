// SPDX-License-Identifier: Apache-2.0
#include "device_test.hpp"

#include <algorithm>
#include <limits>

#include <loopserve/ops/add.cuh>
#include <loopserve/ops/argmax.cuh>
#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/embed.cuh>
#include <loopserve/ops/rmsnorm.cuh>
#include <loopserve/ops/rope.cuh>
#include <loopserve/ops/silu_mul.cuh>
#include <loopserve/ops/store_rows.cuh>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

struct shape {
  index_t rows, width;
};
constexpr shape shapes[] = {{0, 16}, {3, 0}, {1, 1}, {1, 3001}, {2, 1025}, {37, 96}, {5, 256}};
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Rows with a gap of `gap` elements between them.
template <class T>
tensor_view<T, 2> spaced(T* data, shape s, index_t gap) {
  return {data, {s.rows, s.width}, {s.width + gap, 1}};
}

/// Runs `op(b, x, y, out)` on the device and `want(x, y, out)` on the host, for rows that are dense and rows with a gap.
template <class T, class Op, class Want>
void same_as_reference(double tolerance, Op op, Want want) {
  for (auto const s : shapes) {
    for (index_t const gap : {0, 3}) {
      auto const room = s.rows * (s.width + gap);
      auto const x = converted<T>(numbers(room, 1, 8)), y = converted<T>(numbers(room, 2));
      auto fx = converted<float>(x), fy = converted<float>(y), expected = fy;
      want(spaced(fx.data(), s, gap), spaced(fy.data(), s, gap), spaced(expected.data(), s, gap));
      each_device([&](auto const& b) {
        CAPTURE(s.rows);
        CAPTURE(s.width);
        auto dx = on_device(b, x), dy = on_device(b, y), out = on_device(b, y);
        op(b, spaced(dx.data(), s, gap), spaced(dy.data(), s, gap), spaced(out.data(), s, gap));
        CHECK(worst(on_host(b, out), expected) <= tolerance);
      });
    }
  }
}

reference const oracle(1);

template <class T>
void check_rows() {
  double const tolerance = rounding<T>;
  same_as_reference<T>(
      tolerance, [](auto const& b, auto x, auto y, auto out) { silu_mul(b, x, y, out); },
      [](auto x, auto y, auto out) { silu_mul(oracle, x, y, out); });
  same_as_reference<T>(
      tolerance, [](auto const& b, auto x, auto, auto out) { add(b, x, out); }, [](auto x, auto, auto out) { add(oracle, x, out); });
  auto const weight = numbers(4000, 3);
  same_as_reference<T>(
      3 * tolerance,
      [&](auto const& b, auto x, auto, auto out) {
        auto const w = on_device(b, weight);
        rmsnorm(b, x, std::span<float const>(w.data(), static_cast<std::size_t>(x.extent(1))), 1e-5F, out);
      },
      [&](auto x, auto, auto out) {
        rmsnorm(oracle, x, std::span<float const>(weight.data(), static_cast<std::size_t>(x.extent(1))), 1e-5F, out);
      });
}

}  // namespace

TEST_CASE("silu_mul, add and rmsnorm are the reference's, rounded once to the type of storage") {
  check_rows<float>();
  check_rows<bf16>();
  check_rows<f16>();
}

TEST_CASE("rmsnorm may write over what it reads") {
  shape const s{7, 300};
  auto x = numbers(s.rows * s.width, 5);
  auto const weight = numbers(s.width, 6);
  auto want = x;
  rmsnorm(oracle, spaced(want.data(), s, 0), weight, 1e-6F, spaced(want.data(), s, 0));
  each_device([&](auto const& b) {
    auto const w = on_device(b, weight);
    auto got = on_device(b, x);
    rmsnorm(b, spaced(got.data(), s, 0), std::span<float const>(w.data(), weight.size()), 1e-6F, spaced(got.data(), s, 0));
    CHECK(worst(on_host(b, got), want) <= 3e-6);
  });
}

TEST_CASE("rmsnorm of a row that is zero is zero, and of one near zero what eps leaves of it") {
  shape const s{4, 40};
  auto x = numbers(s.rows * s.width, 7);
  float const scales[] = {0, 1e-30F, 3e-3F, 1};  // eps alone, eps alone, eps as much as the mean, hardly eps
  for (index_t r = 0; r < s.rows; ++r) {
    for (index_t i = 0; i < s.width; ++i) { x[static_cast<std::size_t>(r * s.width + i)] *= scales[r]; }
  }
  std::vector<float> const weight(static_cast<std::size_t>(s.width), 1.0F);
  std::vector<float> want(x.size());
  rmsnorm(oracle, spaced(x.data(), s, 0), weight, 1e-5F, spaced(want.data(), s, 0));
  each_device([&](auto const& b) {
    auto const w = on_device(b, weight), in = on_device(b, x);
    auto out = b.template make_buffer<float>(s.rows * s.width);
    rmsnorm(b, spaced(in.data(), s, 0), std::span<float const>(w.data(), weight.size()), 1e-5F, spaced(out.data(), s, 0));
    auto const got = on_host(b, out);
    CHECK(worst(got, want) <= 3e-6);
    CHECK(std::all_of(got.begin(), got.begin() + s.width, [](float value) { return value == 0; }));
  });
}

TEST_CASE("silu of numbers far out is zero or the number itself") {
  std::vector<float> const gate = {-1000, -100, -88, 88, 100, 1000, 0}, up(7, 1.0F);
  std::vector<float> want(7);
  shape const s{1, 7};
  silu_mul(oracle, spaced(gate.data(), s, 0), spaced(up.data(), s, 0), spaced(want.data(), s, 0));
  each_device([&](auto const& b) {
    auto const g = on_device(b, gate), u = on_device(b, up);
    auto out = b.template make_buffer<float>(7);
    silu_mul(b, spaced(g.data(), s, 0), spaced(u.data(), s, 0), spaced(out.data(), s, 0));
    CHECK(worst(on_host(b, out), want) <= 1e-6);
  });
}

TEST_CASE_TEMPLATE("rope is the reference's for every layout", T, float, bf16) {
  for (index_t const rows : {0, 1, 9}) {
    for (int const head_dim : {2, 24, 66, 128}) {
      for (int const pairs : {head_dim / 2, head_dim / 4}) {
        for (bool const interleaved : {false, true}) {
          std::vector<float> frequency(static_cast<std::size_t>(pairs));
          for (int i = 0; i < pairs; ++i) {
            frequency[static_cast<std::size_t>(i)] = static_cast<float>(std::pow(10000.0, -2.0 * i / head_dim));
          }
          std::vector<int> positions;
          for (int r = 0; r < rows; ++r) { positions.push_back(r * 97711); }
          auto const x = converted<T>(numbers(rows * 3 * head_dim, 4));
          auto want = converted<float>(x);
          rope(oracle, tensor_view<float, 3>(want.data(), {rows, 3, head_dim}), positions, {frequency.data(), pairs, 1.25F, interleaved});
          each_device([&](auto const& b) {
            auto const f = on_device(b, frequency);
            auto const p = on_device(b, positions);
            auto got = on_device(b, x);
            rope(b, tensor_view<T, 3>(got.data(), {rows, 3, head_dim}), std::span<int const>(p.data(), positions.size()),
                 {f.data(), pairs, 1.25F, interleaved});
            CHECK(worst(on_host(b, got), want) <= rounding<T>);
          });
        }
      }
    }
  }
}

TEST_CASE("embed copies rows of every stored type exactly") {
  for (auto const type : {element_type::f32, element_type::f16, element_type::bf16, element_type::q8_0}) {
    for (index_t const width : {32, 96, 101}) {
      if (type == element_type::q8_0 && width % 32 != 0) { continue; }
      counter_rng const draw{2};
      std::vector<unsigned char> bytes(static_cast<std::size_t>(9 * bytes_of(type, width)));
      // Bytes below 0x70 make no pattern of infinity or NaN in any of the types.
      for (std::size_t i = 0; i < bytes.size(); ++i) { bytes[i] = static_cast<unsigned char>(draw.uniform(i) * 0x70); }
      std::vector<token_id> const ids = {token_id{8}, token_id{0}, token_id{3}, token_id{3}};
      std::vector<float> want(static_cast<std::size_t>(4 * width));
      embed(oracle, {type, 9, width, bytes.data()}, ids, tensor_view<float, 2>(want.data(), {4, width}));
      each_device([&](auto const& b) {
        auto const table = on_device(b, bytes);
        auto const where = on_device(b, ids);
        auto out = b.template make_buffer<float>(4 * width);
        embed(b, {type, 9, width, table.data()}, std::span<token_id const>(where.data(), ids.size()),
              tensor_view<float, 2>(out.data(), {4, width}));
        CHECK(on_host(b, out) == want);
        embed(b, {type, 9, width, table.data()}, std::span<token_id const>{}, tensor_view<float, 2>(out.data(), {0, width}));
      });
    }
  }
}

TEST_CASE("an id outside of the table is told when the host waits, once, and its row is NaN") {
  std::vector<float> const table(18, 1.0F);
  each_device([&](auto const& b) {
    auto const t = on_device(b, table);
    for (int const bad : {-1, 9}) {
      auto const ids = on_device(b, std::vector<token_id>{token_id{2}, token_id{bad}});
      auto out = b.template make_buffer<float>(4);
      embed(b, {element_type::f32, 9, 2, t.data()}, std::span<token_id const>(ids.data(), 2), tensor_view<float, 2>(out.data(), {2, 2}));
      CHECK_THROWS_WITH_AS(b.synchronize(), ("token id " + std::to_string(bad) + " is outside the vocabulary").c_str(), error);
      b.synchronize();
      auto const rows = on_host(b, out);
      CHECK(rows[1] == 1);
      CHECK(std::isnan(rows[2]));
    }
  });
}

TEST_CASE("of faults in several launches the first is told, and a fault after that is the first again") {
  std::vector<float> const table(18, 1.0F);
  each_device([&](auto const& b) {
    auto const t = on_device(b, table);
    auto const beyond = on_device(b, std::vector<float>{1e6F});
    auto memory = b.template make_buffer<f16>(1);
    auto const page = on_device(b, std::vector<f16*>{memory.data()});
    auto out = b.template make_buffer<float>(2);
    auto const fails_with_token = [&](int id) {
      auto const ids = on_device(b, std::vector<token_id>{token_id{id}});
      embed(b, {element_type::f32, 9, 2, t.data()}, std::span<token_id const>(ids.data(), 1), tensor_view<float, 2>(out.data(), {1, 2}));
    };
    auto const fails_with_key = [&] {
      store_rows(b, tensor_view<float const, 3>(beyond.data(), {1, 1, 1}), page_table_view<f16>{page.data(), 1, 0, 1}, 0);
    };
    fails_with_token(9);
    fails_with_token(-1);
    fails_with_key();
    CHECK_THROWS_WITH_AS(b.synchronize(), "token id 9 is outside the vocabulary", error);
    fails_with_key();
    fails_with_token(9);
    CHECK_THROWS_WITH_AS(b.synchronize(), doctest::Contains("a key or value of KV head 0 is beyond"), error);
    b.synchronize();
  });
}

TEST_CASE("argmax takes the first of the largest and refuses what is not a number") {
  for (int const n : {1, 33, 4096, 9001}) {
    auto const x = numbers(n, 6);
    each_device([&](auto const& b) {
      auto const best_of = [&](std::vector<float> const& values) {
        auto const d = on_device(b, values);
        return argmax(b, std::span<float const>(d.data(), values.size()));
      };
      for (int const at : {0, n / 2, std::min(n - 1, argmax_kernel<float>::tile), n - 1}) {
        auto y = x;
        y[static_cast<std::size_t>(at)] = 2;
        CHECK(best_of(y) == at);
        y.back() = 2;
        CHECK(best_of(y) == at);
        for (float const none : {NAN, -NAN}) {
          y[static_cast<std::size_t>(at)] = none;
          CHECK_THROWS_AS(best_of(y), error);
        }
      }
      CHECK(best_of(std::vector<float>(static_cast<std::size_t>(n), -infinity)) == 0);
      std::vector<float> zeros(static_cast<std::size_t>(n), -0.0F);
      zeros.back() = 0;
      CHECK(best_of(zeros) == 0);
    });
  }
}

TEST_CASE("copies go there and back") {
  each_device([&](auto const& b) {
    auto const x = numbers(100, 1);
    auto first = b.template make_buffer<float>(100), second = b.template make_buffer<float>(100);
    upload(b, x.data(), 100, first.data());
    copy_elements(b, first.data(), 100, second.data());
    std::vector<float> back(100);
    download(b, second.data(), 100, back.data());
    CHECK(back == x);
  });
}

TEST_CASE("what does not fit is refused before anything is queued") {
  each_device([&](auto const& b) {
    auto x = b.template make_buffer<float>(12);
    tensor_view<float, 2> const wide(x.data(), {2, 6}), tall(x.data(), {3, 4});
    std::span<float const> const weight(x.data(), 5), wider(x.data(), 6);
    auto const ids = on_device(b, std::vector<token_id>(3, token_id{0}));
    std::span<token_id const> const two(ids.data(), 2), three(ids.data(), 3);
    weight_view const table{element_type::f32, 2, 6, x.data()};
    auto const positions = on_device(b, std::vector<int>(3, 0));
    std::span<int const> const one_position(positions.data(), 1), three_positions(positions.data(), 3), two_positions(positions.data(), 2);
    tensor_view<float, 3> const heads(x.data(), {2, 1, 6});
    CHECK_THROWS_AS(add(b, wide, tall), error);
    CHECK_THROWS_AS(silu_mul(b, wide, wide, tall), error);
    CHECK_THROWS_AS(rmsnorm(b, wide, weight, 1e-5F, wide), error);
    CHECK_THROWS_AS(rmsnorm(b, wide, wider, 1e-5F, tall), error);
    CHECK_THROWS_AS(embed(b, table, three, wide), error);
    CHECK_THROWS_AS(embed(b, table, two, tensor_view<float, 2>(x.data(), {2, 5})), error);
    CHECK_THROWS_AS(rope(b, heads, one_position, {x.data(), 3, 1.0F, false}), error);
    CHECK_THROWS_AS(rope(b, heads, three_positions, {x.data(), 3, 1.0F, false}), error);
    CHECK_THROWS_AS(rope(b, heads, two_positions, {x.data(), 4, 1.0F, false}), error);
    CHECK_THROWS_AS(argmax(b, std::span<float const>{}), error);
  });
}
