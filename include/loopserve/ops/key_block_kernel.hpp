// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/unroll.hpp>

namespace loopserve::detail {

/// A lane's part of 16 rows and 16 columns of queries, as the tensor cores take them: each number is split into two of 16 bits whose sum is the float to
/// 16 (bf16) or 22 (f16) bits, the leading parts and the rest.
struct query_fragment {
  dev::vec<std::uint32_t, 4> high, low;
};

/// The fragment of the numbers x(row, column), by a warp.
template <class Element, class X>
LOOPSERVE_DEVICE query_fragment query_fragment_of(X x) {
  auto const pair = [](Element a, Element b) { return a.bits | static_cast<std::uint32_t>(b.bits) << 16; };
  int const g = dev::lane() / 4, t = dev::lane() % 4;
  query_fragment made;
  for (int j = 0; j < 4; ++j) {
    int const row = g + 8 * (j % 2), column = 2 * t + 8 * (j / 2);
    float const one = x(row, column), two = x(row, column + 1);
    Element const lead[2] = {Element(one), Element(two)};
    made.high[j] = pair(lead[0], lead[1]);
    made.low[j] = pair(Element(one - static_cast<float>(lead[0])), Element(two - static_cast<float>(lead[1])));
  }
  return made;
}

/// 128 keys of 16 bits in a block's shared memory, and their products with 16 rows of queries at a time by tensor cores, 32 keys a warp. head_dim is a
/// multiple of 16, and keys begin at multiples of 16 bytes.
template <class Element>
struct key_block {
  using piece = dev::vec<std::uint32_t, 4>;  // 16 bytes
  static constexpr int keys = 128, keys_of_warp = 32;
  static constexpr int threads = keys;
  static constexpr int rows = 16;

  static bool takes(kv_view<Element> const& kv) { return sizeof(Element) == 2 && kv.head_dim % 16 == 0 && kv.row_stride % 8 == 0; }

  // An odd number of 16 bytes: then 8 lanes that read 8 rows touch all banks.
  LOOPSERVE_HOST_DEVICE static int row_pieces(int head_dim) { return head_dim / 8 | 1; }
  /// What it takes of shared memory, in 16 bytes.
  LOOPSERVE_HOST_DEVICE static index_t pieces(int head_dim) {
    return index_t{keys} * row_pieces(head_dim) + keys * static_cast<index_t>(sizeof(void*)) / 16;
  }

  /// Brings keys [first, first + 128) of a KV head; zeros for those behind the last. All threads come here, and leave when all keys are there.
  LOOPSERVE_DEVICE static void fetch(kv_view<Element> const& kv, int kv_head, int first, piece* to) {
    auto* const from = reinterpret_cast<Element const**>(to + keys * row_pieces(kv.head_dim));
    int const own = first + dev::thread(), in_row = kv.head_dim / 8;
    from[dev::thread()] = own < kv.tokens ? dev::key(kv, own, kv_head) : nullptr;
    dev::barrier();
    for (int i = dev::thread(); i < keys * in_row; i += threads) {
      Element const* const row = from[i / in_row];
      dev::copy_async<16>(to + i / in_row * row_pieces(kv.head_dim) + i % in_row, row != nullptr ? row + i % in_row * 8 : nullptr, row != nullptr);
    }
    dev::copy_commit();
    dev::copy_wait<0>();
    dev::barrier();
  }

  /// sums[n] += the products of the rows and the warp's keys 8n .. 8n + 7, as the tensor cores keep them; fragment(s) are columns 16s and up of the rows.
  template <class Fragment>
  LOOPSERVE_DEVICE static void multiply(Fragment fragment, int head_dim, piece const* all, float (&sums)[4][4]) {
    auto const* const own = all + dev::warp() * keys_of_warp * row_pieces(head_dim);
    int const steps = head_dim / 16;
    for (int step = 0; step < steps; step += 2) {
      // Two steps' columns of 8 keys at once; behind the last column the last ones again, which nobody uses.
      int const at = 2 * step + dev::lane() / 8, column = at < 2 * steps ? at : 2 * steps - 1;
      std::uint32_t b[4][4];
      dev::unrolled<4>([&](int n) { dev::load_matrices(b[n], own + (8 * n + dev::lane() % 8) * row_pieces(head_dim) + column); });
      dev::unrolled<2>([&](int part) {
        if (step + part >= steps) { return; }
        query_fragment const q = fragment(step + part);
        std::uint32_t const lead[4] = {q.high[0], q.high[1], q.high[2], q.high[3]}, rest[4] = {q.low[0], q.low[1], q.low[2], q.low[3]};
        dev::unrolled<4>([&](int n) {
          dev::multiply_add<Element>(sums[n], lead, b[n][2 * part], b[n][2 * part + 1]);
          dev::multiply_add<Element>(sums[n], rest, b[n][2 * part], b[n][2 * part + 1]);
        });
      });
    }
  }
};

}  // namespace loopserve::detail
