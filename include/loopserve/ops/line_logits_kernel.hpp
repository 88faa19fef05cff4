// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/reduce.hpp>
#include <loopserve/dev/unroll.hpp>
#include <loopserve/ops/softmax_mass_kernel.hpp>

namespace loopserve {

/// The sampled rows of some query heads, and where their scores go. All in the device's memory.
struct line_logits_view {
  int first_head = 0;  ///< of q
  int heads = 0;
  int rows = 0;  ///< sampled rows of a head
  int keys = 0;
  int const* positions = nullptr;  ///< (heads, rows): of the sampled rows, ascending; row p - (keys - q.extent(0)) of q
  float* logits = nullptr;         ///< (heads, rows, stride): q . k / sqrt(head_dim); what lies behind a row's position is not defined
  index_t stride = 0;              ///< a multiple of 4
  softmax_part* parts = nullptr;   ///< (heads, rows, tiles): of 32 keys each
  int tiles = 0;
};

/// Keys of a block of the two kernels below, and of a warp: a part of the softmax.
inline constexpr int line_tile = 128, line_part = 32;

/// Queries as the tensor cores take them, scaled and each split into two 16-bit numbers whose sum is the float to 16 (bf16) or 22 (f16) bits.
/// packed (heads, tiles of 16 rows, head_dim / 16, 32 lanes, 8): the four registers of the leading parts, then of the rest. A thread a lane's eight; block (x, head).
template <class Element>
struct pack_queries_kernel {
  static constexpr int threads = 128;
  static constexpr int rows_per_tile = 16;

  tensor_view<float const, 3> q;
  line_logits_view of;
  float scale;
  std::uint32_t* packed;

  LOOPSERVE_DEVICE void operator()() const {
    int const steps = static_cast<int>(q.extent(2)) / 16, tiles = (of.rows + rows_per_tile - 1) / rows_per_tile, h = dev::block().y;
    int const unit = dev::block().x * (threads / 32) + dev::warp();  // of tile and step
    if (unit >= tiles * steps) { return; }
    int const g = dev::lane() / 4, t = dev::lane() % 4, history = of.keys - static_cast<int>(q.extent(0));
    dev::vec<std::uint32_t, 4> high, low;
    for (int j = 0; j < 4; ++j) {
      int const row = unit / steps * rows_per_tile + g + 8 * (j % 2), column = unit % steps * 16 + 2 * t + 8 * (j / 2);
      float x[2] = {0, 0};
      if (row < of.rows) {
        index_t const from = dev::load(of.positions + index_t{h} * of.rows + row) - history;
        for (int e = 0; e < 2; ++e) { x[e] = scale * dev::load(&q(from, of.first_head + h, column + e)); }
      }
      Element const lead[2] = {Element(x[0]), Element(x[1])};
      high[j] = pair(lead[0], lead[1]);
      low[j] = pair(Element(x[0] - static_cast<float>(lead[0])), Element(x[1] - static_cast<float>(lead[1])));
    }
    std::uint32_t* const out = packed + ((index_t{h} * tiles * steps + unit) * 32 + dev::lane()) * 8;
    dev::store_vec<4>(out, high);
    dev::store_vec<4>(out + 4, low);
  }

 private:
  LOOPSERVE_DEVICE static std::uint32_t pair(Element a, Element b) { return a.bits | static_cast<std::uint32_t>(b.bits) << 16; }
};

/// Logits of 16-bit keys by tensor cores, and their softmax parts; head_dim a multiple of 16. Block (x, y): 128 keys of the y-th KV head that the view's heads
/// use; the tile of keys is read once for all of them. A warp takes 32 keys, 16 rows at a time.
template <class Element>
struct line_logits_kernel {
  static constexpr int threads = line_tile;
  static constexpr int rows_per_tile = pack_queries_kernel<Element>::rows_per_tile;

  kv_view<Element> kv;
  int group;  // query heads of a KV head
  line_logits_view out;
  std::uint32_t const* packed;

  // An odd number of 16 bytes: then 8 lanes that read 8 rows touch all banks.
  LOOPSERVE_HOST_DEVICE int row_pieces() const { return kv.head_dim / 8 | 1; }
  index_t shared_bytes() const { return vecs() * 16; }

  LOOPSERVE_DEVICE void operator()() const {
    auto* const keys = dev::shared_array<dev::vec<std::uint32_t, 4>>(vecs());
    int const kv_head = out.first_head / group + dev::block().y;
    fetch(kv_head, keys);
    int const from = kv_head * group - out.first_head, first = from > 0 ? from : 0,
              last = from + group < out.heads ? from + group : out.heads;
    for (int h = first; h < last; ++h) {
      for (int row = 0; row < out.rows; row += rows_per_tile) { take_tile(h, row, keys); }
    }
  }

 private:
  LOOPSERVE_HOST_DEVICE index_t vecs() const {
    return index_t{line_tile} * row_pieces() + line_tile * static_cast<index_t>(sizeof(void*)) / 16;
  }

  LOOPSERVE_DEVICE void fetch(int kv_head, dev::vec<std::uint32_t, 4>* keys) const {
    auto* const rows = reinterpret_cast<Element const**>(keys + line_tile * row_pieces());
    int const own = dev::block().x * line_tile + dev::thread(), pieces = kv.head_dim / 8;
    rows[dev::thread()] = own < kv.tokens ? dev::key(kv, own, kv_head) : nullptr;
    dev::barrier();
    for (int i = dev::thread(); i < line_tile * pieces; i += threads) {
      Element const* const row = rows[i / pieces];
      dev::copy_async<16>(keys + i / pieces * row_pieces() + i % pieces, row != nullptr ? row + i % pieces * 8 : nullptr, row != nullptr);
    }
    dev::copy_commit();
    dev::copy_wait<0>();
    dev::barrier();
  }

  LOOPSERVE_DEVICE void take_tile(int h, int row, dev::vec<std::uint32_t, 4> const* keys) const {
    int const g = dev::lane() / 4, t = dev::lane() % 4, own = dev::warp() * line_part, first = dev::block().x * line_tile + own;
    int const* const positions = out.positions + index_t{h} * out.rows;
    float sums[4][4] = {};
    int const lowest = row + rows_per_tile < out.rows ? row + rows_per_tile - 1 : out.rows - 1;
    if (dev::load(positions + lowest) >= first) { multiply(h, row / rows_per_tile, keys + own * row_pieces(), sums); }
    dev::unrolled<2>([&](int half) {
      int const its = row + g + 8 * half;
      int const seen = its < out.rows ? dev::load(positions + its) + 1 : 0;
      float top = -__builtin_inff(), weight = 0;
      dev::unrolled<8>([&](int i) {
        if (first + 8 * (i / 2) + 2 * t + i % 2 < seen) { top = dev::larger{}(top, sums[i / 2][2 * half + i % 2]); }
      });
      top = dev::larger{}(top, dev::shuffle_xor(top, 1));
      top = dev::larger{}(top, dev::shuffle_xor(top, 2));
      dev::unrolled<8>([&](int i) {
        if (first + 8 * (i / 2) + 2 * t + i % 2 < seen) { weight += dev::exp(sums[i / 2][2 * half + i % 2] - top); }
      });
      weight += dev::shuffle_xor(weight, 1);
      weight += dev::shuffle_xor(weight, 2);
      if (its >= out.rows) { return; }
      index_t const line = index_t{h} * out.rows + its;
      dev::unrolled<4>([&](int n) {
        int const key = first + 8 * n + 2 * t;
        if (key < seen) {
          dev::store_vec<2>(out.logits + line * out.stride + key, dev::vec<float, 2>{{sums[n][2 * half], sums[n][2 * half + 1]}});
        }
      });
      if (t == 0) { dev::store(out.parts + line * out.tiles + first / line_part, softmax_part{top, weight}); }
    });
  }

  LOOPSERVE_DEVICE void multiply(int h, int tile, dev::vec<std::uint32_t, 4> const* keys, float (&sums)[4][4]) const {
    int const steps = kv.head_dim / 16, tiles = (out.rows + rows_per_tile - 1) / rows_per_tile;
    std::uint32_t const* const queries = packed + (index_t{h} * tiles + tile) * steps * 32 * 8 + dev::lane() * 8;
    for (int step = 0; step < steps; step += 2) {
      // Two steps' columns of 8 keys at once; behind the last column the last ones again, which nobody uses.
      int const piece = 2 * step + dev::lane() / 8, column = piece < 2 * steps ? piece : 2 * steps - 1;
      std::uint32_t b[4][4];
      dev::unrolled<4>([&](int n) { dev::load_matrices(b[n], keys + (8 * n + dev::lane() % 8) * row_pieces() + column); });
      dev::unrolled<2>([&](int part) {
        if (step + part >= steps) { return; }
        auto const high = dev::load_vec<4>(queries + (step + part) * 32 * 8), low = dev::load_vec<4>(queries + (step + part) * 32 * 8 + 4);
        std::uint32_t const lead[4] = {high[0], high[1], high[2], high[3]}, rest[4] = {low[0], low[1], low[2], low[3]};
        dev::unrolled<4>([&](int n) {
          dev::multiply_add<Element>(sums[n], lead, b[n][2 * part], b[n][2 * part + 1]);
          dev::multiply_add<Element>(sums[n], rest, b[n][2 * part], b[n][2 * part + 1]);
        });
      });
    }
  }
};

/// The same for any element, any head_dim and any alignment, without tensor cores. Block (x, h, z): a thread a key, eight rows of head h.
template <class Element>
struct plain_line_logits_kernel {
  static constexpr int threads = line_tile;
  static constexpr int rows_per_block = 8;

  tensor_view<float const, 3> q;
  kv_view<Element> kv;
  int group;
  line_logits_view out;
  float scale;

  index_t shared_bytes() const { return rows_per_block * index_t{kv.head_dim} * static_cast<index_t>(sizeof(float)); }

  LOOPSERVE_DEVICE void operator()() const {
    int const d = kv.head_dim, h = dev::block().y, first_row = dev::block().z * rows_per_block,
              history = out.keys - static_cast<int>(q.extent(0));
    int const* const positions = out.positions + index_t{h} * out.rows;
    auto* const queries = dev::shared_array<float>(index_t{rows_per_block} * d);  // (head_dim, rows)
    for (int i = dev::thread(); i < rows_per_block * d; i += threads) {
      int const row = first_row + i / d;
      index_t const from = row < out.rows ? dev::load(positions + row) - history : 0;
      queries[i % d * rows_per_block + i / d] = row < out.rows ? scale * dev::load(&q(from, out.first_head + h, i % d)) : 0;
    }
    dev::barrier();
    int const key = dev::block().x * line_tile + dev::thread();
    float sums[rows_per_block] = {};
    if (key < kv.tokens) {
      Element const* const row = dev::key(kv, key, (out.first_head + h) / group);
      for (int c = 0; c < d; ++c) {
        float const x = static_cast<float>(dev::load(row + c));
        dev::unrolled<rows_per_block>([&](int r) { sums[r] += queries[c * rows_per_block + r] * x; });
      }
    }
    dev::unrolled<rows_per_block>([&](int r) {
      int const row = first_row + r;
      if (row >= out.rows) { return; }
      bool const seen = key <= dev::load(positions + row);
      float const top = dev::warp_reduce(seen ? sums[r] : -__builtin_inff(), dev::larger{});
      float const weight = dev::warp_reduce(seen ? dev::exp(sums[r] - top) : 0, dev::plus{});
      index_t const line = index_t{h} * out.rows + row;
      if (seen) { dev::store(out.logits + line * out.stride + key, sums[r]); }
      if (dev::lane() == 0) { dev::store(out.parts + line * out.tiles + key / line_part, softmax_part{top, weight}); }
    });
  }
};

}  // namespace loopserve
