// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/unroll.hpp>
#include <loopserve/ops/key_block_kernel.hpp>

namespace loopserve {

/// logits (kv_heads, rows, stride) of tokens [first_token, kv.length()): q . k / sqrt(head_dim). Row r is query first_query + r / group, query head
/// first_head + r % group of the KV head's.
template <class Element>
struct key_logits_view {
  tensor_view<float const, 3> q;
  kv_view<Element> kv;
  int first_token;  ///< even
  int first_query, first_head, group, rows;
  int heads_per_kv_head;
  float scale;  ///< 1 / sqrt(head_dim)
  float* logits;
  index_t stride;  ///< a multiple of 4

  LOOPSERVE_DEVICE float const* query(int h, int row) const {
    index_t const query = first_query + row / group, head = index_t{h} * heads_per_kv_head + first_head + row % group;
    return q.data() + query * q.stride(0) + head * q.stride(1);
  }
  LOOPSERVE_DEVICE float* line(int h, int row) const { return logits + (index_t{h} * rows + row) * stride; }
};

/// For any element, any head_dim and any alignment. Block (x, h, z): a thread a token, `rows_per_block` rows, whose queries lie in shared memory.
template <class Element>
struct key_logits_kernel {
  static constexpr int threads = 128;
  static constexpr int rows_per_block = 8;

  key_logits_view<Element> of;

  index_t shared_bytes() const { return rows_per_block * index_t{of.kv.head_dim} * static_cast<index_t>(sizeof(float)); }

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const d = of.kv.head_dim, h = block.y, first_row = block.z * rows_per_block;
    auto* const queries = dev::shared_array<float>(index_t{rows_per_block} * d);  // (head_dim, rows)
    for (int i = dev::thread(); i < rows_per_block * d; i += threads) {
      int const row = first_row + i / d;
      bool const inside = row < of.rows;
      queries[i % d * rows_per_block + i / d] = inside ? dev::load(of.query(h, row) + i % d) : 0;
    }
    dev::barrier();
    int const token = of.first_token + block.x * threads + dev::thread();
    if (token >= of.kv.tokens) { return; }
    Element const* const key = dev::key(of.kv, token, h);
    float sums[rows_per_block] = {};
    constexpr int wide = 16 / static_cast<int>(sizeof(Element));
    int c = 0;
    if (reinterpret_cast<std::uintptr_t>(key) % 16 == 0) {
      for (; c + wide <= d; c += wide) {
        auto const part = dev::load_vec<wide>(key + c);
        dev::unrolled<wide>([&](int i) { add(sums, queries + (c + i) * rows_per_block, static_cast<float>(part[i])); });
      }
    }
    for (; c < d; ++c) { add(sums, queries + c * rows_per_block, static_cast<float>(dev::load(key + c))); }
    dev::unrolled<rows_per_block>([&](int r) {
      if (first_row + r < of.rows) { dev::store(of.line(h, first_row + r) + token, sums[r] * of.scale); }
    });
  }

 private:
  LOOPSERVE_DEVICE static void add(float (&sums)[rows_per_block], float const* queries, float key) {
    dev::unrolled<rows_per_block>([&](int r) { sums[r] += queries[r] * key; });
  }
};

/// By tensor cores, for what detail::key_block takes. Block (x, h): 128 tokens, which are read once for all rows.
template <class Element>
struct matrix_key_logits_kernel {
  using block_of_keys = detail::key_block<Element>;
  static constexpr int threads = block_of_keys::threads;

  key_logits_view<Element> of;

  index_t shared_bytes() const { return pieces() * 16; }

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const h = block.y, first = of.first_token + block.x * block_of_keys::keys;
    auto* const keys = dev::shared_array<typename block_of_keys::piece>(pieces());
    auto* const fragments = reinterpret_cast<detail::query_fragment*>(keys + block_of_keys::pieces(of.kv.head_dim));
    block_of_keys::fetch(of.kv, h, first, keys);
    for (int row = 0; row < of.rows; row += block_of_keys::rows) {
      pack(h, row, fragments);
      dev::barrier();
      float sums[4][4] = {};
      block_of_keys::multiply([&](int step) { return fragments[step * 32 + dev::lane()]; }, of.kv.head_dim, keys, sums);
      write(h, row, first + dev::warp() * block_of_keys::keys_of_warp, sums);
      dev::barrier();
    }
  }

 private:
  // Keys, and what one tile of rows is packed into.
  LOOPSERVE_HOST_DEVICE index_t pieces() const {
    return block_of_keys::pieces(of.kv.head_dim) + of.kv.head_dim / 16 * 32 * static_cast<index_t>(sizeof(detail::query_fragment)) / 16;
  }

  LOOPSERVE_DEVICE void pack(int h, int first_row, detail::query_fragment* to) const {
    for (int step = dev::warp(); step < of.kv.head_dim / 16; step += threads / 32) {
      to[step * 32 + dev::lane()] = detail::query_fragment_of<Element>([&](int r, int column) {
        return first_row + r < of.rows ? of.scale * dev::load(of.query(h, first_row + r) + 16 * step + column) : 0;
      });
    }
  }

  LOOPSERVE_DEVICE void write(int h, int first_row, int first_token, float const (&sums)[4][4]) const {
    int const g = dev::lane() / 4, t = dev::lane() % 4;
    dev::unrolled<2>([&](int half) {
      int const row = first_row + g + 8 * half;
      if (row >= of.rows) { return; }
      dev::unrolled<4>([&](int n) {
        int const token = first_token + 8 * n + 2 * t;  // even, and so is the room
        if (token < of.kv.tokens) { dev::store_vec<2>(of.line(h, row) + token, dev::vec<float, 2>{{sums[n][2 * half], sums[n][2 * half + 1]}}); }
      });
    });
  }
};

}  // namespace loopserve
