// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/unroll.hpp>

namespace loopserve {

/// logits (kv_heads, rows, stride) of tokens [first_token, kv.length()): q . k / sqrt(head_dim). Row r is query first_query + r / group, query head
/// first_head + r % group of the KV head's. Block (x, h, z): a thread a token, `rows_per_block` rows, whose queries lie in shared memory.
template <class Element>
struct key_logits_kernel {
  static constexpr int threads = 128;
  static constexpr int rows_per_block = 8;

  tensor_view<float const, 3> q;
  kv_view<Element> kv;
  int first_token, first_query, first_head, group, rows;
  int heads_per_kv_head;
  float scale;  // 1 / sqrt(head_dim)
  float* logits;
  index_t stride;

  index_t shared_bytes() const { return rows_per_block * index_t{kv.head_dim} * static_cast<index_t>(sizeof(float)); }

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const d = kv.head_dim, h = block.y, first_row = block.z * rows_per_block;
    auto* const queries = dev::shared_array<float>(index_t{rows_per_block} * d);  // (head_dim, rows)
    for (int i = dev::thread(); i < rows_per_block * d; i += threads) {
      int const row = first_row + i / d;
      bool const inside = row < rows;
      index_t const query = first_query + row / group, head = index_t{h} * heads_per_kv_head + first_head + row % group;
      queries[i % d * rows_per_block + i / d] = inside ? dev::load(q.data() + query * q.stride(0) + head * q.stride(1) + i % d) : 0;
    }
    dev::barrier();
    int const token = first_token + block.x * threads + dev::thread();
    if (token >= kv.tokens) { return; }
    Element const* const key = dev::key(kv, token, h);
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
      if (first_row + r < rows) { dev::store(logits + (index_t{h} * rows + first_row + r) * stride + token, sums[r] * scale); }
    });
  }

 private:
  LOOPSERVE_DEVICE static void add(float (&sums)[rows_per_block], float const* queries, float key) {
    dev::unrolled<rows_per_block>([&](int r) { sums[r] += queries[r] * key; });
  }
};

}  // namespace loopserve
