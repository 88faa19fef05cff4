// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/reduce.hpp>
#include <loopserve/dev/unroll.hpp>
#include <loopserve/ops/key_block_kernel.hpp>
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

/// Queries as the tensor cores take them, scaled: detail::query_fragment. packed (heads, tiles of 16 rows, head_dim / 16, 32 lanes, 8): the four registers of the
/// leading parts, then of the rest. A thread a lane's eight; block (x, head).
template <class Element>
struct pack_queries_kernel {
  static constexpr int threads = 128;
  static constexpr int rows_per_tile = detail::key_block<Element>::rows;

  tensor_view<float const, 3> q;
  line_logits_view of;
  float scale;
  std::uint32_t* packed;

  LOOPSERVE_DEVICE void operator()() const {
    int const steps = static_cast<int>(q.extent(2)) / 16, tiles = (of.rows + rows_per_tile - 1) / rows_per_tile, h = dev::block().y;
    int const unit = dev::block().x * (threads / 32) + dev::warp();  // of tile and step
    if (unit >= tiles * steps) { return; }
    int const first_row = unit / steps * rows_per_tile, first_column = unit % steps * 16, history = of.keys - static_cast<int>(q.extent(0));
    auto const made = detail::query_fragment_of<Element>([&](int r, int column) {
      int const row = first_row + r;
      if (row >= of.rows) { return 0.0F; }
      index_t const from = dev::load(of.positions + index_t{h} * of.rows + row) - history;
      return scale * dev::load(&q(from, of.first_head + h, first_column + column));
    });
    std::uint32_t* const out = packed + ((index_t{h} * tiles * steps + unit) * 32 + dev::lane()) * 8;
    dev::store_vec<4>(out, made.high);
    dev::store_vec<4>(out + 4, made.low);
  }
};

/// Logits of 16-bit keys by tensor cores, and their softmax parts; for what detail::key_block takes. Block (x, y): 128 keys of the y-th KV head that the view's
/// heads use; the tile of keys is read once for all of them.
template <class Element>
struct line_logits_kernel {
  using block_of_keys = detail::key_block<Element>;
  static constexpr int threads = block_of_keys::threads;
  static constexpr int rows_per_tile = block_of_keys::rows;
  static_assert(block_of_keys::keys == line_tile && block_of_keys::keys_of_warp == line_part);

  kv_view<Element> kv;
  int group;  // query heads of a KV head
  line_logits_view out;
  std::uint32_t const* packed;

  index_t shared_bytes() const { return block_of_keys::pieces(kv.head_dim) * 16; }

  LOOPSERVE_DEVICE void operator()() const {
    auto* const keys = dev::shared_array<typename block_of_keys::piece>(block_of_keys::pieces(kv.head_dim));
    int const kv_head = out.first_head / group + dev::block().y;
    block_of_keys::fetch(kv, kv_head, dev::block().x * line_tile, keys);
    int const from = kv_head * group - out.first_head, first = from > 0 ? from : 0,
              last = from + group < out.heads ? from + group : out.heads;
    for (int h = first; h < last; ++h) {
      for (int row = 0; row < out.rows; row += rows_per_tile) { take_tile(h, row, keys); }
    }
  }

 private:
  LOOPSERVE_DEVICE void take_tile(int h, int row, typename block_of_keys::piece const* keys) const {
    int const g = dev::lane() / 4, t = dev::lane() % 4, own = dev::warp() * line_part, first = dev::block().x * line_tile + own;
    int const* const positions = out.positions + index_t{h} * out.rows;
    float sums[4][4] = {};
    int const lowest = row + rows_per_tile < out.rows ? row + rows_per_tile - 1 : out.rows - 1;
    if (dev::load(positions + lowest) >= first) {
      block_of_keys::multiply([&](int step) { return fragment(h, row / rows_per_tile, step); }, kv.head_dim, keys, sums);
    }
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

  LOOPSERVE_DEVICE detail::query_fragment fragment(int h, int tile, int step) const {
    int const steps = kv.head_dim / 16, tiles = (out.rows + rows_per_tile - 1) / rows_per_tile;
    std::uint32_t const* const from = packed + (((index_t{h} * tiles + tile) * steps + step) * 32 + dev::lane()) * 8;
    return {dev::load_vec<4>(from), dev::load_vec<4>(from + 4)};
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
