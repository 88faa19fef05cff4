// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/primitives.hpp>
#include <loopserve/dev/unroll.hpp>

namespace loopserve::detail {

/// Rows of Dim 16-bit elements in shared memory, from which dev::load_matrices reads without bank conflicts: pieces of 16 bytes change places within 128 bytes,
/// or within 64 where rows are no multiple of 128 bytes.
template <class Element, int Dim, int Rows>
struct alignas(128) matrix_tile {
  static_assert(sizeof(Element) == 2 && Dim % 32 == 0);
  static constexpr int row_bytes = Dim * 2;
  static constexpr int pieces = row_bytes / 16;  // in a row
  static constexpr int mixed = Dim % 64 == 0 ? 8 : 4;  // pieces that change places

  alignas(128) unsigned char bytes[Rows * row_bytes];

  /// Where a piece of a row lies.
  LOOPSERVE_HOST_DEVICE static constexpr int place(int row, int piece) {
    int const moved = piece ^ (mixed == 8 ? row & 7 : row >> 1 & 3);
    return row * row_bytes + moved * 16;
  }

  /// Four matrices, each lane's row at place(row + RowsOn, piece + 2 * Step), where `place` is place(row, piece) and piece < 2: so a lane has one address for
  /// all that it reads, up to a few flipped bits.
  template <int RowsOn, int Step>
  LOOPSERVE_DEVICE void load(std::uint32_t (&out)[4], int place) const {
    dev::load_matrices<offset<RowsOn, Step>()>(out, bytes + (place ^ flipped<Step>()));
  }
  template <int RowsOn, int Step>
  LOOPSERVE_DEVICE void load_transposed(std::uint32_t (&out)[4], int place) const {
    dev::load_matrices_transposed<offset<RowsOn, Step>()>(out, bytes + (place ^ flipped<Step>()));
  }

  /// Begins to copy the rows that lie at these addresses. All of the block's `Threads` threads come here.
  template <int Threads>
  LOOPSERVE_DEVICE void fetch(Element const* const* rows) {
    static_assert(Rows * pieces % Threads == 0);
    constexpr int rows_at_once = Threads / pieces;
    if constexpr (Threads % pieces == 0 && rows_at_once % 8 == 0) {
      int const row = dev::thread() / pieces, piece = dev::thread() % pieces;
      auto* const to = bytes + place(row, piece);
      dev::unrolled<Rows / rows_at_once>([&](auto i) {
        dev::copy_async<16, i * rows_at_once * row_bytes>(to, rows[row + i * rows_at_once] + 8 * piece);
      });
    } else {
      dev::unrolled<Rows * pieces / Threads>([&](int i) {
        int const number = i * Threads + dev::thread(), row = number / pieces, piece = number % pieces;
        dev::copy_async<16>(bytes + place(row, piece), rows[row] + 8 * piece);
      });
    }
  }

  /// Whether the 8 rows of each matrix have their 16 bytes in different banks: all of the 8 in 128 bytes.
  static constexpr bool without_conflicts() {
    for (int first = 0; first < Rows; first += 8) {
      for (int piece = 0; piece < pieces; ++piece) {
        unsigned banks = 0;
        for (int row = first; row < first + 8; ++row) { banks |= 1U << place(row, piece) / 16 % 8; }
        if (banks != 0xff) { return false; }
      }
    }
    return true;
  }

 private:
  template <int Step>
  LOOPSERVE_HOST_DEVICE static constexpr int flipped() {
    return 2 * Step % mixed * 16;
  }
  template <int RowsOn, int Step>
  LOOPSERVE_HOST_DEVICE static constexpr int offset() {
    static_assert(RowsOn % 8 == 0, "rows of other offsets have their pieces in other places");
    return RowsOn * row_bytes + 2 * Step / mixed * mixed * 16;
  }
};

}  // namespace loopserve::detail
