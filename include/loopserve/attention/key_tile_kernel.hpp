// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/primitives.hpp>

namespace loopserve::detail {

/// Rows of up to 32 keys or values in shared memory, and what a warp computes from them for Count queries: a lane has one key for the scores, and Pairs pairs of
/// neighbouring columns, 64 columns apart, for the sums.
template <class Element>
struct key_tile {
  static constexpr int keys = 32;
  static constexpr int piece = 16 / static_cast<int>(sizeof(Element));  // elements of one copy

  // An odd number of 16 bytes: then 8 lanes that read 8 rows touch all banks.
  LOOPSERVE_HOST_DEVICE static constexpr int row_bytes(int head_dim) { return (head_dim / piece | 1) * 16; }

  /// Begins to copy the rows, by `threads` threads of which this is number `thread`; where the address is null, zeros.
  LOOPSERVE_DEVICE static void fetch(Element const* const* rows, int head_dim, unsigned char* to, int thread, int threads) {
    int const pieces = head_dim / piece, stride = row_bytes(head_dim);
    int const whole = threads / pieces, rest = threads % pieces;
    int row = thread / pieces, at = thread % pieces;
    while (row < keys) {
      bool const valid = rows[row] != nullptr;
      dev::copy_async<16>(to + row * stride + at * 16, valid ? rows[row] + at * piece : nullptr, valid);
      row += whole;
      at += rest;
      if (at >= pieces) { at -= pieces, ++row; }
    }
  }

  /// score[c] += the product of query c, q (Count, head_dim) in shared memory, and the lane's row.
  template <int Count>
  LOOPSERVE_DEVICE static void take_scores(float const* q, int head_dim, unsigned char const* tile, float (&score)[Count]) {
    auto const* const row = tile + dev::lane() * row_bytes(head_dim);
    for (int d = 0; d < head_dim; d += piece) {
      auto const k = *reinterpret_cast<dev::vec<Element, piece> const*>(row + d * static_cast<int>(sizeof(Element)));
      for (int part = 0; part < piece; part += 4) {
        for (int c = 0; c < Count; ++c) {
          auto const four = *reinterpret_cast<dev::vec<float, 4> const*>(q + c * head_dim + d + part);
          for (int e = 0; e < 4; ++e) { score[c] += four[e] * static_cast<float>(k[part + e]); }
        }
      }
    }
  }

  /// sum[c] = sum[c] * fade[c] + the tile's rows, weighted by weights (keys, Count) in shared memory.
  template <int Count, int Pairs>
  LOOPSERVE_DEVICE static void add_values(float const (*weights)[Count], int head_dim, unsigned char const* tile,
                                          float const (&fade)[Count], float (&sum)[Count][Pairs][2]) {
    for (int c = 0; c < Count; ++c) {
      for (int j = 0; j < Pairs; ++j) {
        // By itself, or the first of the keys might be joined with it by one instantiation and not by another.
        sum[c][j][0] = dev::product(sum[c][j][0], fade[c]);
        sum[c][j][1] = dev::product(sum[c][j][1], fade[c]);
      }
    }
    for (int i = 0; i < keys; ++i) {
      auto const* const row = tile + i * row_bytes(head_dim);
      for (int j = 0; j < Pairs; ++j) {
        int const column = 2 * (dev::lane() + 32 * j);
        if (column >= head_dim) { break; }
        auto const v = *reinterpret_cast<dev::vec<Element, 2> const*>(row + column * static_cast<int>(sizeof(Element)));
        for (int c = 0; c < Count; ++c) {
          sum[c][j][0] += weights[i][c] * static_cast<float>(v[0]);
          sum[c][j][1] += weights[i][c] * static_cast<float>(v[1]);
        }
      }
    }
  }
};

}  // namespace loopserve::detail
