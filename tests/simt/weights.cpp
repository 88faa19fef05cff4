// SPDX-License-Identifier: Apache-2.0
/// Weights in a device's memory.
#include "device_test.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <loopserve/model/upload_weights.hpp>
#include <loopserve/ops/copy.cuh>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

struct stored {
  element_type type;
  index_t rows, cols;
  std::vector<unsigned char> bytes;

  /// Bytes below 0x70 make no pattern of infinity or NaN in any of the types.
  stored(element_type t, index_t r, index_t c, std::uint64_t seed) : type(t), rows(r), cols(c), bytes(static_cast<std::size_t>(r * bytes_of(t, c))) {
    counter_rng const draw{seed};
    for (std::size_t i = 0; i < bytes.size(); ++i) { bytes[i] = static_cast<unsigned char>(draw.uniform(i) * 0x70); }
  }
  weight_view view() const { return {type, rows, cols, bytes.data()}; }
};

/// A view of the device's memory holds the numbers of `from`, rounded where the type has changed.
template <class B>
void holds(B const& b, weight_view got, stored const& from) {
  REQUIRE(got.type == (from.type == element_type::f16 ? element_type::f16 : element_type::bf16));
  std::vector<unsigned char> bytes(static_cast<std::size_t>(got.bytes()));
  b.copy_to_host(bytes.data(), got.data, got.bytes());
  weight_view const on_host{got.type, got.rows, got.cols, bytes.data()};
  std::vector<float> row(static_cast<std::size_t>(from.cols)), want(row.size());
  bool same = got.rows == from.rows && got.cols == from.cols;
  for (index_t r = 0; same && r < from.rows; ++r) {
    unpack_row(on_host, r, row.data());
    unpack_row(from.view(), r, want.data());
    for (std::size_t i = 0; i < row.size(); ++i) { same = same && row[i] == (got.type == element_type::f16 ? want[i] : static_cast<float>(bf16(want[i]))); }
  }
  CHECK(same);
}

}  // namespace

TEST_CASE("matrices arrive in 16 bits, a tied one once, and the report says which were converted") {
  stored const embedding(element_type::f32, 50, 96, 1), q(element_type::bf16, 64, 96, 2), k(element_type::f16, 32, 96, 3), v(element_type::q8_0, 32, 96, 4),
      o(element_type::q8_0, 96, 64, 5), gate(element_type::bf16, 0, 96, 6);
  std::vector<float> const norm = numbers(96, 7), bias = numbers(33, 8);
  decoder_view host;
  host.embedding = host.head = embedding.view();
  host.final_norm = norm;
  layer_view layer;
  layer.attention_norm = norm;
  layer.q_bias = bias;
  layer.q = q.view();
  layer.k = k.view();
  layer.v = v.view();
  layer.o = o.view();
  layer.gate = layer.up = layer.down = gate.view();
  host.layers = {layer};
  each_device([&](auto const& b) {
    auto const up = upload_weights(b, host);
    holds(b, up.view.embedding, embedding);
    CHECK(up.view.head.data == up.view.embedding.data);
    auto const& l = up.view.layers[0];
    holds(b, l.q, q);
    holds(b, l.k, k);
    holds(b, l.v, v);
    holds(b, l.o, o);
    std::vector<float> list(bias.size());
    b.copy_to_host(list.data(), l.q_bias.data(), 33 * 4);
    CHECK(list == bias);
    CHECK(l.k_bias.empty());
    std::vector<float> scale(96);
    b.copy_to_host(scale.data(), up.view.final_norm.data(), 96 * 4);
    CHECK(scale == norm);
    // Kernels read 16 bytes at once, and products want rows that begin at lines of the cache.
    void const* const all[] = {up.view.embedding.data, l.q.data, l.k.data, l.v.data, l.o.data, static_cast<void const*>(l.q_bias.data()),
                                   static_cast<void const*>(l.attention_norm.data()), static_cast<void const*>(up.view.final_norm.data())};
    for (void const* const data : all) {
      CHECK(reinterpret_cast<std::uintptr_t>(data) % 256 == 0);
    }
    CHECK(up.report.bytes == 2 * (50 * 96 + 64 * 96 + 2 * 32 * 96 + 96 * 64));
    CHECK(up.report.text() ==
          "1 matrix in f32, 19200 bytes, converted to bf16, 9600 bytes\n"
          "2 matrices in q8_0, 9792 bytes, converted to bf16, 18432 bytes\n");
  });
}

TEST_CASE("more than the staging memory holds arrives whole, rows wider than it too") {
  stored const tall(element_type::bf16, 17000, 1024, 1), wide(element_type::f16, 2, 8500000, 2);
  decoder_view host;
  host.embedding = tall.view();
  host.head = wide.view();
  each_device([&](auto const& b) {
    auto const up = upload_weights(b, host);
    std::vector<unsigned char> bytes(tall.bytes.size());
    b.copy_to_host(bytes.data(), up.view.embedding.data, up.view.embedding.bytes());
    CHECK(bytes == tall.bytes);
    bytes.resize(wide.bytes.size());
    b.copy_to_host(bytes.data(), up.view.head.data, up.view.head.bytes());
    CHECK(bytes == wide.bytes);
  });
}

TEST_CASE("a matrix that is converted in pieces arrives row by row") {
  constexpr index_t rows = 3, cols = 2800000;  // 16.8 MB of bf16: two rows are a piece, and the last one another
  std::vector<float> matrix(static_cast<std::size_t>(rows * cols));
  for (index_t r = 0; r < rows; ++r) { std::fill_n(matrix.data() + r * cols, cols, static_cast<float>(r + 1)); }
  decoder_view host;
  host.embedding = host.head = {element_type::f32, rows, cols, matrix.data()};
  auto const check = [&](auto const& b) {
    auto const up = upload_weights(b, host);
    for (index_t r = 0; r < rows; ++r) {
      for (index_t const col : {index_t{0}, cols - 1}) {
        bf16 seen(0.0F);
        b.copy_to_host(&seen, up.view.embedding.row(r) + 2 * col, 2);
        CHECK(static_cast<float>(seen) == static_cast<float>(r + 1));
      }
    }
  };
  each_device(check, 1);  // nothing here runs in an order of its own
}

TEST_CASE("nothing behind a matrix is read: a file may end there") {
  auto const page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  for (auto const type : {element_type::f32, element_type::bf16, element_type::f16, element_type::q8_0}) {
    stored const matrix(type, 37, 32, 5);
    REQUIRE(matrix.bytes.size() <= 2 * page);
    void* const pages = mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED);
    auto* const end = static_cast<unsigned char*>(pages) + 2 * page;
    REQUIRE(mprotect(end, page, PROT_NONE) == 0);
    std::memcpy(end - matrix.bytes.size(), matrix.bytes.data(), matrix.bytes.size());
    decoder_view host;
    host.embedding = host.head = {type, matrix.rows, matrix.cols, end - matrix.bytes.size()};
    each_device([&](auto const& b) { holds(b, upload_weights(b, host).view.embedding, matrix); });
    munmap(pages, 3 * page);
  }
}

TEST_CASE("weights that do not fit are refused before anything is read") {
  decoder_view host;
  host.embedding = host.head = {element_type::bf16, index_t{1} << 30, index_t{1} << 16, nullptr};
  std::vector<float> const norm(65, 1.0F);
  host.final_norm = norm;
  each_device([&](auto const& b) {
    CHECK_THROWS_WITH_AS(upload_weights(b, host),
                         "the weights, 140737488355840 bytes, do not fit into the device's memory: cannot allocate 140737488355328 bytes of device memory",
                         capacity_error);
  });
}
