// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <loopserve/core/buffer.hpp>
#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/product.hpp>
#include <loopserve/ops/cpu/simd.hpp>
#include <loopserve/ops/key_mass.hpp>

namespace loopserve::detail {

inline constexpr int mass_rows = 48;   ///< queries whose weights are held together; three vectors of the widest kind
inline constexpr int mass_split = 16;  ///< tiles of 64 keys of a work unit
inline constexpr int mass_apart = 65536;  ///< keys up to which every thread has weights of its own, 12 MiB at most

/// Keys whose products lie in registers together.
constexpr int mass_keys(int width) { return width == 16 ? 8 : 4; }

}  // namespace loopserve::detail

#define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/key_mass.inc>
#include <loopserve/ops/cpu/each_isa.hpp>

namespace loopserve {

namespace detail {

/// Some queries of one KV head against the whole context: their weights for every key, each tile's relative to its own largest product.
struct query_weights {
  query_weights(index_t keys, index_t most_rows) : tiles(static_cast<int>((keys + 63) / 64)) {
    weights = thread_scratch<float, 5>(tiles * most_rows * 66);
    tops = weights + most_rows * tiles * 64;
  }

  int tiles;
  int rows = 0;  // a multiple of 16
  float* weights;  // (tiles x 64, rows)
  float* tops;     // (tiles, rows), then the sums likewise

  float* weights_of(int tile) { return weights + index_t{tile} * 64 * rows; }
  float* tops_of(int tile) { return tops + index_t{tile} * rows; }
  float* sums_of(int tile) { return tops_of(tiles + tile); }

  /// Calls body(tile) for every tile, on up to `threads` threads in stretches.
  template <class Body>
  void for_tiles(int threads, Body&& body) {
    parallel_for(tiles <= 2 ? 1 : threads, (tiles + mass_split - 1) / mass_split, [&](index_t u) {
      for (int tile = static_cast<int>(u) * mass_split; tile < std::min(tiles, static_cast<int>(u + 1) * mass_split); ++tile) { body(tile); }
    });
  }
};

/// The rows of a tile's keys; returns their number.
template <class Element>
int key_rows(kv_view<Element> kv, int kv_head, int first, char const** rows) {
  int const count = std::clamp(kv.length() - first, 0, 64);
  for (int j = 0; j < count; ++j) { rows[j] = reinterpret_cast<char const*>(kv.key(first + j, kv_head)); }
  return count;
}

/// keys (64, dim) = those of one tile as float32, zeros behind the last. `unpack` converts elements of a row.
template <class Element, class Unpack>
int unpack_keys(kv_view<Element> kv, int kv_head, int first, Unpack* unpack, float* keys) {
  int const count = std::min(64, kv.length() - first), dim = kv.head_dim;
  for (int j = 0; j < count;) {
    int const run = kv.row_stride == dim ? std::min(count - j, kv.run(first + j, kv_head)) : 1;
    unpack(kv.key(first + j, kv_head), keys + index_t{j} * dim, index_t{run} * dim);
    j += run;
  }
  std::fill_n(keys + index_t{count} * dim, index_t{64 - count} * dim, 0.0F);
  return count;
}

/// key_mass of one KV head into out (kv.length()), on up to `threads` threads.
template <class Element>
void head_mass(cpu const& b, int threads, tensor_view<float const, 3> q, kv_view<Element> kv, int h, key_mass_options const& o, float* out) {
  auto const level = b.isa_level();
  auto* const unpack = choose(level, baseline::convert_row<Element, float>, avx2::convert_row<Element, float>, avx512::convert_row<Element, float>);
  auto* const weigh = choose(level, baseline::mass_tile, avx2::mass_tile, avx512::mass_tile);
  auto* const join = choose(level, baseline::mass_factors, avx2::mass_factors, avx512::mass_factors);
  auto* const add = choose(level, baseline::add_mass, avx2::add_mass, avx512::add_mass);
  int const n = kv.length(), dim = kv.head_dim, queries = static_cast<int>(q.extent(0)), group = static_cast<int>(q.extent(1)) / kv.kv_heads;
  int const rows = queries * group;  // row r of a KV head is query r % queries of query head r / queries
  bool const largest = o.reduce == head_reduce::max;
  auto const scale = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(dim)));
  query_weights some(n, std::min(mass_rows, (rows + 15) / 16 * 16));
  host_buffer<float> turned(index_t{mass_rows} * dim);  // queries, (dim, some.rows)
  std::vector<float> mass(static_cast<std::size_t>(largest ? n : 0)), pooled;
  float shares[mass_rows];
  std::fill_n(out, n, 0.0F);
  for (int first_row = 0; first_row < rows; first_row += mass_rows) {
    int const here = std::min(mass_rows, rows - first_row);
    some.rows = (here + 15) / 16 * 16;
    for (int j = 0; j < some.rows; ++j) {
      int const r = first_row + j;
      float const* const from = j < here ? &q(r % queries, index_t{h} * group + r / queries, 0) : nullptr;
      for (int d = 0; d < dim; ++d) { turned[index_t{d} * some.rows + j] = from != nullptr ? scale * from[d] : 0; }
    }
    some.for_tiles(threads, [&](int tile) {
      float* const keys = thread_scratch<float, 4>(index_t{64} * dim);
      int const first = tile * 64, count = unpack_keys(kv, h, first, unpack, keys);
      char const* next[64];
      int const following = key_rows(kv, h, first + 64, next);
      float seen[mass_rows];
      bool const hides = o.tail && first + 64 > n - queries + 1;
      for (int j = 0; hides && j < some.rows; ++j) { seen[j] = static_cast<float>(n - first - (queries - 1 - (first_row + j) % queries)); }
      weigh(turned.data(), some.rows, keys, count, dim, hides ? seen : nullptr, next, following, dim * static_cast<int>(sizeof(Element)), some.weights_of(tile),
            some.tops_of(tile), some.sums_of(tile));
    });
    join(some.tiles, some.rows, some.tops, some.sums_of(0));
    // Where query heads are compared, each one's rows are summed by themselves.
    for (int r = 0; r < here;) {
      int const end = largest ? std::min(here, r + queries - (first_row + r) % queries) : here;
      for (int j = 0; j < some.rows; ++j) { shares[j] = j < r || j >= end ? 0 : largest ? 1 : 1 / static_cast<float>(group); }
      float* const to = largest ? mass.data() : out;
      some.for_tiles(threads, [&](int tile) { add(some.weights_of(tile), some.rows, std::min(64, n - tile * 64), some.tops_of(tile), shares, to + tile * 64); });
      if (largest && (first_row + end) % queries == 0) {
        for (int k = 0; k < n; ++k) { out[k] = std::max(out[k], mass[static_cast<std::size_t>(k)]); }
        std::fill(mass.begin(), mass.end(), 0.0F);
      }
      r = end;
    }
  }
  finish_key_mass(kv, h, o, out, pooled);
}

}  // namespace detail

/// The cpu backend's: 48 queries of a KV head against 64 keys at a time, float32. Where KV heads suffice and the context is not too long each is one thread's,
/// so that its weights lie near when they are summed; otherwise the threads share its tiles. The tiles' sums are joined in order.
template <class Element>
void key_mass(cpu const& b, tensor_view<float const, 3> q, kv_view<Element> kv, key_mass_options const& o, tensor_view<float, 2> scores) {
  bool const apart = kv.kv_heads % b.threads() == 0 && kv.length() <= detail::mass_apart;
  parallel_for(apart ? threads_for(b, q.size() * kv.length()) : 1, kv.kv_heads, [&](index_t h) {
    detail::head_mass(b, apart ? 1 : b.threads(), q, kv, static_cast<int>(h), o, scores.data() + h * scores.stride(0));
  });
}

}  // namespace loopserve
