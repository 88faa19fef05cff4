// SPDX-License-Identifier: Apache-2.0
#include "device_test.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include <loopserve/ops/matmul.cuh>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

reference const oracle(1);

struct shape {
  index_t rows, inputs, outputs;
};
constexpr shape shapes[] = {{0, 8, 8}, {3, 64, 0}, {1, 64, 192}, {5, 172, 64}, {16, 1040, 3}, {17, 64, 33}, {130, 24, 7}};

template <class Element>
constexpr element_type type_of = element_type_of<Element>;

/// x and out have a gap behind each row; the expected numbers are the reference's for x in the weights' type.
template <class Element>
void same_as_reference(shape s, bool biased) {
  index_t const gap = 3, room = s.inputs + gap, out_room = s.outputs + gap;
  auto const x = numbers(s.rows * room, 1), w_float = numbers(s.outputs * s.inputs, 2), bias = numbers(s.outputs, 3);
  auto const w = converted<Element>(w_float);
  auto const rounded = converted<float>(converted<Element>(x));
  std::vector<float> want(static_cast<std::size_t>(s.rows * out_room), 7.0F);
  matmul(oracle, tensor_view<float const, 2>(rounded.data(), {s.rows, s.inputs}, {room, 1}), {type_of<Element>, s.outputs, s.inputs, w.data()},
         biased ? std::span<float const>(bias) : std::span<float const>{}, tensor_view<float, 2>(want.data(), {s.rows, s.outputs}, {out_room, 1}));
  each_device([&](auto const& b) {
    CAPTURE(s.rows);
    CAPTURE(s.inputs);
    CAPTURE(s.outputs);
    auto const dx = on_device(b, x);
    auto const dw = on_device(b, w);
    auto const db = on_device(b, bias);
    auto out = on_device(b, std::vector<float>(want.size(), 7.0F));
    matmul(b, tensor_view<float const, 2>(dx.data(), {s.rows, s.inputs}, {room, 1}), {type_of<Element>, s.outputs, s.inputs, dw.data()},
           biased ? std::span<float const>(db.data(), bias.size()) : std::span<float const>{},
           tensor_view<float, 2>(out.data(), {s.rows, s.outputs}, {out_room, 1}));
    CHECK(worst(on_host(b, out), want) <= 1e-5);
  });
}

}  // namespace

TEST_CASE_TEMPLATE("matmul is the reference's of rows rounded to the weights' type", Element, bf16, f16) {
  for (auto const s : shapes) {
    same_as_reference<Element>(s, false);
    same_as_reference<Element>(s, true);
  }
}

TEST_CASE("several products of the same rows, of both types, are those that each has alone") {
  index_t const rows = 5, inputs = 72;
  auto const x = numbers(rows * inputs, 11), bias = numbers(20, 12);
  auto const first = converted<bf16>(numbers(20 * inputs, 13)), third = converted<bf16>(numbers(9 * inputs, 14));
  auto const second = converted<f16>(numbers(33 * inputs, 15));
  each_device([&](auto const& b) {
    auto const dx = on_device(b, x), dbias = on_device(b, bias);
    auto const d1 = on_device(b, first), d3 = on_device(b, third);
    auto const d2 = on_device(b, second);
    tensor_view<float const, 2> const in(dx.data(), {rows, inputs});
    weight_view const w[] = {{element_type::bf16, 20, inputs, d1.data()}, {element_type::f16, 33, inputs, d2.data()}, {element_type::bf16, 9, inputs, d3.data()}};
    auto together = b.template make_buffer<float>(rows * 62), alone = b.template make_buffer<float>(rows * 62);
    auto const parts_of = [&](float* out) {
      return std::array<tensor_view<float, 2>, 3>{tensor_view<float, 2>(out, {rows, 20}), tensor_view<float, 2>(out + rows * 20, {rows, 33}),
                                                  tensor_view<float, 2>(out + rows * 53, {rows, 9})};
    };
    std::span<float const> const added(dbias.data(), bias.size());
    auto const t = parts_of(together.data()), a = parts_of(alone.data());
    matmul_parts(b, in, {{w[0], added, t[0]}, {w[1], {}, t[1]}, {w[2], {}, t[2]}});
    for (std::size_t i = 0; i < 3; ++i) { matmul(b, in, w[i], i == 0 ? added : std::span<float const>{}, a[i]); }
    CHECK(on_host(b, together) == on_host(b, alone));
  });
}

TEST_CASE("a row's bits are those that it has alone") {
  index_t const inputs = 200, outputs = 70;
  auto const x = numbers(16 * inputs, 4);
  auto const w = converted<bf16>(numbers(outputs * inputs, 5));
  each_device([&](auto const& b) {
    auto const dx = on_device(b, x);
    auto const dw = on_device(b, w);
    weight_view const weights{element_type::bf16, outputs, inputs, dw.data()};
    auto const product = [&](index_t first, index_t rows) {
      auto out = b.template make_buffer<float>(rows * outputs);
      matmul(b, tensor_view<float const, 2>(dx.data() + first * inputs, {rows, inputs}), weights, {}, tensor_view<float, 2>(out.data(), {rows, outputs}));
      return on_host(b, out);
    };
    auto const together = product(0, 16);
    for (index_t const first : {0, 3, 15}) {
      auto const alone = product(first, 1);
      CHECK(std::equal(alone.begin(), alone.end(), together.begin() + first * outputs));
    }
  });
}

TEST_CASE("what f16 does not hold is told when the host waits; bf16 holds it") {
  auto const w = converted<f16>(numbers(4 * 2, 6));
  auto const wide = converted<bf16>(numbers(4 * 2, 6));
  each_device([&](auto const& b) {
    auto const dw = on_device(b, w);
    auto const dwide = on_device(b, wide);
    auto out = b.template make_buffer<float>(8);
    auto const product = [&](float largest, weight_view weights) {
      auto const x = on_device(b, std::vector<float>{1, 2, 3, largest});
      matmul(b, tensor_view<float const, 2>(x.data(), {2, 2}), weights, {}, tensor_view<float, 2>(out.data(), {2, 4}));
    };
    for (float const holds : {65519.0F, -65519.0F}) {
      product(holds, {element_type::f16, 4, 2, dw.data()});
      CHECK_NOTHROW(b.synchronize());
    }
    for (float const rounds_to_infinity : {65520.0F, -65520.0F}) {
      product(rounds_to_infinity, {element_type::f16, 4, 2, dw.data()});
      CHECK_THROWS_WITH_AS(b.synchronize(), "an activation in row 1 of a product is beyond the 65504 that f16, the type of its weights, holds", error);
    }
    product(1e30F, {element_type::bf16, 4, 2, dwide.data()});
    b.synchronize();
  });
}

TEST_CASE("products that do not fit are refused before anything is queued") {
  each_device([&](auto const& b) {
    auto x = b.template make_buffer<float>(64);
    tensor_view<float, 2> const rows(x.data(), {2, 4});
    CHECK_THROWS_AS(matmul(b, rows, weight_view{element_type::bf16, 4, 3, x.data()}, {}, rows), error);
    CHECK_THROWS_AS(matmul(b, rows, weight_view{element_type::bf16, 5, 4, x.data()}, {}, rows), error);
    CHECK_THROWS_AS(matmul(b, rows, weight_view{element_type::bf16, 4, 4, x.data()}, std::span<float const>(x.data(), 3), rows), error);
    CHECK_THROWS_AS(matmul(b, rows, weight_view{element_type::f32, 4, 4, x.data()}, {}, rows), error);
    CHECK_THROWS_AS(matmul(b, rows, weight_view{element_type::q8_0, 4, 4, x.data()}, {}, rows), error);
  });
}

TEST_CASE("what is in pinned memory when the host waits is what was copied") {
  each_device([&](auto const& b) {
    auto pinned = b.template make_pinned<float>(4);
    auto out = b.template make_buffer<float>(4);
    for (float const round : {1.0F, 2.0F}) {
      std::fill_n(pinned.data(), 4, round);
      b.copy_to_device(out.data(), pinned.data(), 16);
      b.synchronize();
      CHECK(on_host(b, out) == std::vector<float>(4, round));
    }
  });
}
