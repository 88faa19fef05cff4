// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>

using namespace loopserve;

namespace {

std::vector<float> numbers(index_t count, std::uint64_t seed) {
  counter_rng const draw{seed};
  std::vector<float> v(static_cast<std::size_t>(count));
  for (index_t i = 0; i < count; ++i) { v[i] = static_cast<float>(draw.uniform(i) * 2 - 1); }
  return v;
}

struct weights {
  std::vector<unsigned char> bytes;
  weight_view view;

  weights(element_type type, index_t rows, index_t cols) : bytes(static_cast<std::size_t>(rows * bytes_of(type, cols))) {
    auto const values = numbers(rows * cols, 5);
    view = {type, rows, cols, bytes.data()};
    for (index_t i = 0; i < rows * cols; ++i) {
      auto const v = values[i];
      if (type == element_type::f32) { std::memcpy(&bytes[4 * i], &v, 4); }
      if (type == element_type::f16) { put(2 * i, f16(v).bits); }
      if (type == element_type::bf16) { put(2 * i, bf16(v).bits); }
      if (type == element_type::q8_0) {
        if (i % 32 == 0) { put(i / 32 * 34, f16(0.001F * static_cast<float>(1 + i / 32 % 7)).bits); }
        bytes[i / 32 * 34 + 2 + i % 32] = static_cast<unsigned char>(static_cast<signed char>(std::lround(v * 127)));
      }
    }
  }
  void put(index_t at, std::uint16_t bits) { std::memcpy(&bytes[at], &bits, 2); }
};

std::vector<float> product_of(auto const& b, std::vector<float> const& x, index_t rows, weight_view w, std::span<float const> bias) {
  std::vector<float> out(static_cast<std::size_t>(rows * w.rows), NAN);
  matmul(b, tensor_view<float const, 2>(x.data(), {rows, w.cols}), w, bias, tensor_view<float, 2>(out.data(), {rows, w.rows}));
  return out;
}

double largest_difference(std::vector<float> const& a, std::vector<float> const& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto const e = std::fabs(static_cast<double>(a[i]) - b[i]);
    if (!std::isnan(most) && !(e <= most)) { most = e; }
  }
  return most;
}

bool same_bits(float const* a, float const* b, index_t n) { return std::memcmp(a, b, static_cast<std::size_t>(n) * sizeof(float)) == 0; }

constexpr element_type types[] = {element_type::f32, element_type::f16, element_type::bf16, element_type::q8_0};

}  // namespace

TEST_CASE("the cpu's product is the reference's for every instruction set, stored type, kind of product and ragged or empty size") {
  std::vector<cpu> backends;
  for (isa level : supported_isas()) {
    for (bool exact : {false, true}) { backends.emplace_back(cpu_options{.threads = 2, .level = level, .exact_products = exact}); }
  }
  auto const agree = [&](element_type type, index_t rows, index_t outputs, index_t cols) {
    if (type == element_type::q8_0 && cols % 32 != 0) { return; }
    weights const w(type, outputs, cols);
    auto const x = numbers(rows * cols, 9);
    auto const bias = rows % 2 == 0 ? std::vector<float>{} : numbers(outputs, 3);
    auto const want = product_of(reference(2), x, rows, w.view, bias);
    for (auto const& b : backends) {
      // What rounding a factor to bf16 may cost; the products of float32 are far closer.
      bool const rounded = rows > few_rows_limit && detail::rounds_activations(b, type);
      double const bound = rounded ? 0x1p-9 * (1 + 1.5 * std::sqrt(static_cast<double>(cols))) : 0x1p-24 * static_cast<double>(8 + cols);
      INFO("isa " << static_cast<int>(b.isa_level()) << " type " << std::string(name_of(type)) << " rows " << rows << " outputs " << outputs << " cols " << cols << " exact " << b.exact_products());
      CHECK(largest_difference(product_of(b, x, rows, w.view, bias), want) <= bound);
    }
  };
  for (auto type : types) {
    for (index_t rows : {0, 1, 2, 3, 5, 16, 17, 23, 55, 64}) {
      for (index_t outputs : {0, 1, 5, 63, 130}) {
        for (index_t cols : {0, 1, 31, 32, 96, 101, 544}) { agree(type, rows, outputs, cols); }
      }
    }
    for (index_t rows = 1; rows <= 200; ++rows) { agree(type, rows, 65 + rows % 4, 64); }
    for (index_t rows : {256, 257, 300, 513}) { agree(type, rows, 67, 96); }
  }
}

TEST_CASE("rows and outputs may lie apart") {
  index_t const cols = 70;
  index_t const outputs = 37;
  weights const w(element_type::bf16, outputs, cols);
  for (index_t rows : {3, 20, 60}) {
    auto const x = numbers(rows * cols, 9);
    std::vector<float> wide(static_cast<std::size_t>(rows * cols * 3), NAN);
    for (index_t i = 0; i < rows * cols; ++i) { wide[3 * i] = x[i]; }
    for (isa level : supported_isas()) {
      cpu const b(cpu_options{.threads = 2, .level = level});
      auto const want = product_of(b, x, rows, w.view, {});
      std::vector<float> out(static_cast<std::size_t>(rows * outputs * 2), -7.0F);
      matmul(b, tensor_view<float const, 2>(wide.data(), {rows, cols}, {3 * cols, 3}), w.view, {}, tensor_view<float, 2>(out.data(), {rows, outputs}, {2 * outputs, 2}));
      for (index_t i = 0; i < rows * outputs; ++i) {
        CHECK(out[2 * i] == want[i]);
        CHECK(out[2 * i + 1] == -7.0F);
      }
    }
  }
}

TEST_CASE("a row has the same bits alone, among others and with any number of threads") {
  index_t const cols = 544;
  index_t const outputs = 200;
  for (isa level : supported_isas()) {
    for (auto type : types) {
      weights const w(type, outputs, cols);
      auto const bias = numbers(outputs, 3);
      auto const x = numbers(512 * cols, 9);
      auto const rows_of = [&](cpu const& b, index_t first, index_t count) {
        return product_of(b, {x.begin() + first * cols, x.begin() + (first + count) * cols}, count, w.view, bias);
      };
      cpu const one(cpu_options{.threads = 1, .level = level});
      INFO("isa " << static_cast<int>(level) << " type " << std::string(name_of(type)));
      for (int threads : {1, 2, 3}) {
        cpu const b(cpu_options{.threads = threads, .level = level});
        // Of each kind of product: a few rows; tiles of 24, of 64 and of 256 rows, whole and padded (those of 64 for oneDNN where Eigen takes 128 or 256).
        for (std::vector<index_t> const& counts :
             {std::vector<index_t>{16, 1, 2, 3, 4, 5, 9}, {24, 17, 18, 23}, {64, 57, 58, 63}, {128, 121, 125, 127}, {512, 498, 505}}) {
          auto const all = rows_of(one, 0, counts.front());
          for (index_t count : counts) {
            for (index_t first : {index_t{0}, (counts.front() - count) / 2, counts.front() - count}) {
              auto const part = rows_of(b, first, count);
              CHECK(same_bits(part.data(), all.data() + first * outputs, count * outputs));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("many rows and many inputs") {
  index_t const cols = 2100;
  index_t const rows = 773;
  index_t const outputs = 66;
  weights const w(element_type::bf16, outputs, cols);
  auto const x = numbers(rows * cols, 9);
  auto const want = product_of(reference(2), x, rows, w.view, {});
  for (bool exact : {false, true}) {
    cpu const b(cpu_options{.threads = 2, .exact_products = exact});
    CHECK(largest_difference(product_of(b, x, rows, w.view, {}), want) <= (detail::rounds_activations(b, element_type::bf16) ? 0.15 : 3e-4));
  }
}

TEST_CASE("tiles hold all rows with little padding") {
  for (index_t most : {64, 256}) {
    for (index_t rows = few_rows_limit + 1; rows <= 2000; ++rows) {
      detail::padded_tiles const tiles(rows, most);
      CAPTURE(rows);
      CHECK(tiles.height <= most);
      CHECK(tiles.height % 8 == 0);
      CHECK(tiles.count * tiles.height >= rows);
      CHECK(tiles.count * tiles.height < rows + 8 * tiles.count);
      CHECK((tiles.count - 1) * most < rows);
    }
  }
}

TEST_CASE("libraries are held to one thread, and the number is given back") {
#ifdef _OPENMP
  int const before = omp_get_max_threads();
  {
    detail::one_library_thread const alone;
    CHECK(omp_get_max_threads() == 1);
  }
  weights const w(element_type::bf16, 130, 96);
  product_of(cpu(2), numbers(64 * 96, 9), 64, w.view, {});
  CHECK(omp_get_max_threads() == before);
#endif
}

TEST_CASE("shapes that do not agree are refused") {
  weights const w(element_type::f32, 4, 8);
  auto const x = numbers(8, 1);
  std::vector<float> out(4);
  CHECK_THROWS_AS(matmul(cpu(1), tensor_view<float const, 2>(x.data(), {1, 7}), w.view, {}, tensor_view<float, 2>(out.data(), {1, 4})), error);
  CHECK_THROWS_AS(matmul(cpu(1), tensor_view<float const, 2>(x.data(), {1, 8}), w.view, {}, tensor_view<float, 2>(out.data(), {1, 3})), error);
  CHECK_THROWS_AS(matmul(cpu(1), tensor_view<float const, 2>(x.data(), {1, 8}), w.view, std::span<float const>(out.data(), 3), tensor_view<float, 2>(out.data(), {1, 4})), error);
}

TEST_CASE("activations are rounded where bf16 meets bf16 in oneDNN alone, and never in exact products") {
  for (auto type : types) {
    CHECK_FALSE(detail::rounds_activations(cpu(cpu_options{.exact_products = true}), type));
    if (type != element_type::bf16) { CHECK_FALSE(detail::rounds_activations(cpu(1), type)); }
  }
#if LOOPSERVE_USE_ONEDNN
  auto const there = static_cast<unsigned>(dnnl_get_effective_cpu_isa());
  auto const wanted = static_cast<unsigned>(dnnl_cpu_isa_avx512_core_bf16);
  CHECK(detail::rounds_activations(cpu(1), element_type::bf16) == ((there & wanted) == wanted));
#else
  CHECK_FALSE(detail::rounds_activations(cpu(1), element_type::bf16));
#endif
}
