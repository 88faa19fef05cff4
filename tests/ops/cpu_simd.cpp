// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/simd.hpp>

using namespace loopserve;

namespace {

template <class From, class To>
auto converter(isa level) {
  return choose(level, baseline::convert_row<From, To>, avx2::convert_row<From, To>, avx512::convert_row<From, To>);
}

}  // namespace

TEST_CASE_TEMPLATE("rows convert as single numbers do, all 65,536 patterns and their neighbours", Half, bf16, f16) {
  for (auto level : supported_isas()) {
    std::vector<Half> halves(65536 + 3);
    for (std::size_t i = 0; i < halves.size(); ++i) { halves[i].bits = static_cast<std::uint16_t>(i); }
    std::vector<float> wide(halves.size());
    converter<Half, float>(level)(halves.data(), wide.data(), static_cast<index_t>(wide.size()));
    int wrong = 0;
    for (std::size_t i = 0; i < wide.size(); ++i) {
      float const want = halves[i];
      wrong += std::isnan(want) ? !std::isnan(wide[i]) : std::memcmp(&wide[i], &want, 4) != 0;
    }
    CHECK(wrong == 0);
    for (float factor : {1.0F, 1.0F + 0x1p-8F, 1.0F - 0x1p-11F, 1.0F + 0x1p-12F, 1.0F + 0x1p-9F}) {
      auto source = wide;
      for (auto& v : source) { v *= factor; }
      std::vector<Half> narrow(source.size());
      converter<float, Half>(level)(source.data(), narrow.data(), static_cast<index_t>(source.size()));
      wrong = 0;
      for (std::size_t i = 0; i < source.size(); ++i) {
        wrong += std::isnan(source[i]) ? !std::isnan(static_cast<float>(narrow[i])) : narrow[i].bits != Half(source[i]).bits;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("exp is within 2 units in the last place and right at the ends") {
  for (auto level : supported_isas()) {
    auto* const row = choose(level, baseline::exp_row, avx2::exp_row, avx512::exp_row);
    std::vector<float> x;
    for (double v = -86.5; v < 88.7; v += 0.00113) { x.push_back(static_cast<float>(v)); }
    auto y = x;
    row(0, y.data(), static_cast<int>(y.size()));
    double most = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      auto const want = std::exp(static_cast<double>(x[i]));
      auto const e = std::fabs(y[i] - want) / std::ldexp(1.0, std::ilogb(want) - 23);
      if (!std::isnan(most) && !(e <= most)) { most = e; }
    }
    CHECK(most <= 2);
    constexpr float infinity = std::numeric_limits<float>::infinity();
    float ends[] = {-infinity, -87, 0, infinity, NAN, 89};
    row(0, ends, 6);
    CHECK(ends[0] == 0);
    CHECK(ends[1] == 0);
    CHECK(ends[2] == 1);
    CHECK(ends[3] == infinity);
    CHECK(std::isnan(ends[4]));
    CHECK(ends[5] == infinity);
  }
}

TEST_CASE("dot, axpy, max and sums of exponentials at every length") {
  for (auto level : supported_isas()) {
    for (int n = 1; n < 140; ++n) {
      std::vector<float> a(n), y(n, 1.0F), e(n);
      std::vector<bf16> b(n);
      double want = 0;
      double total = 0;
      for (int i = 0; i < n; ++i) {
        a[i] = static_cast<float>((i * 37 + 11) % 19 - 9);
        b[i] = bf16(static_cast<float>((i * 53 + 5) % 23 - 11));
        want += static_cast<double>(a[i]) * b[i];
        e[i] = a[i];
        total += std::exp(static_cast<double>(a[i]) - 9);
      }
      CHECK(choose(level, baseline::dot<float, bf16>, avx2::dot<float, bf16>, avx512::dot<float, bf16>)(a.data(), b.data(), n) == want);
      choose(level, baseline::axpy<bf16>, avx2::axpy<bf16>, avx512::axpy<bf16>)(0.5F, b.data(), y.data(), n);
      for (int i = 0; i < n; ++i) { CHECK(y[i] == 1.0F + 0.5F * b[i]); }
      float top = a[0];
      for (float v : a) { top = v > top ? v : top; }
      CHECK(choose(level, baseline::max_of, avx2::max_of, avx512::max_of)(a.data(), n) == top);
      CHECK(std::fabs(choose(level, baseline::exp_row, avx2::exp_row, avx512::exp_row)(9, e.data(), n) / total - 1) <= 1e-6);
    }
  }
}

TEST_CASE("an instruction set that the machine lacks is refused") {
  if (best_isa() < isa::avx512) {
    CHECK_THROWS_AS(cpu(cpu_options{.level = isa::avx512}), error);
  } else {
    CHECK_NOTHROW(cpu(cpu_options{.level = isa::avx512}));
  }
}
