// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/primitives.hpp>
#include <loopserve/dev/unroll.hpp>

namespace loopserve::detail {

/// Keys rows of Dim 16-bit elements in shared memory, from which dev::load_matrices reads without bank conflicts.
template <class Element, int Dim, int Keys>
struct alignas(128) matrix_tile {
  static_assert(sizeof(Element) == 2 && Dim % 32 == 0);
  static constexpr int pieces = Dim / 8;  // of 16 bytes, in a row

  Element elements[Keys * Dim];

  /// Element 8 * piece of a row.
  LOOPSERVE_DEVICE Element const* at(int row, int piece) const { return elements + offset(row, piece); }

  /// Begins to copy the rows that lie at these addresses; where it is null, zeros. All of the block's `Threads` threads come here.
  template <int Threads>
  LOOPSERVE_DEVICE void fetch(Element const* const* rows) {
    static_assert(Keys * pieces % Threads == 0);
    dev::unrolled<Keys * pieces / Threads>([&](int i) {
      int const number = i * Threads + dev::thread(), row = number / pieces, piece = number % pieces;
      bool const there = rows[row] != nullptr;
      dev::copy_async<16>(elements + offset(row, piece), there ? rows[row] + 8 * piece : nullptr, there);
    });
  }

 private:
  // A row of 64 or 128 elements begins at a multiple of 128 bytes; of 32 or 96, at one of 64.
  LOOPSERVE_HOST_DEVICE static constexpr int offset(int row, int piece) {
    int const moved = Dim % 64 == 0 ? piece ^ (row & 7) : piece ^ (row >> 1 & 3);
    return (row * pieces + moved) * 8;
  }

 public:
  /// Whether the 8 rows of each matrix have their 16 bytes in different banks: all of the 8 in 128 bytes.
  static constexpr bool without_conflicts() {
    for (int first = 0; first < Keys; first += 8) {
      for (int piece = 0; piece < pieces; ++piece) {
        unsigned banks = 0;
        for (int row = first; row < first + 8; ++row) { banks |= 1U << offset(row, piece) / 8 % 8; }
        if (banks != 0xff) { return false; }
      }
    }
    return true;
  }
};

}  // namespace loopserve::detail
