// SPDX-License-Identifier: Apache-2.0
#include <loopserve/dev/primitives.hpp>

#include "block.hpp"

namespace loopserve::dev {

using simt::block;

int thread() { return block::current().thread(); }
int threads() { return block::current().launch().threads; }
grid block() { return block::current().place(); }
grid blocks() { return block::current().launch().blocks; }
void barrier(source_place place) { block::current().barrier(place); }
void copy_commit(source_place) { block::current().copy_commit(); }

namespace {

template <bool Transposed>
void load_four(std::uint32_t (&out)[4], void const* row, char const* name, source_place place) {
  struct request {
    void const* row;
    std::uint32_t out[4];
  } mine{detail::reach(row, 16, 16, detail::access::read, place), {}};
  detail::meet(
      name, &mine,
      [](void* const(&lanes)[32]) {
        std::uint16_t rows[32][8];
        for (int l = 0; l < 32; ++l) { std::memcpy(rows[l], static_cast<request*>(lanes[l])->row, 16); }
        for (int l = 0; l < 32; ++l) {
          for (int j = 0; j < 4; ++j) {
            int const a = l / 4, b = 2 * (l % 4);
            auto const* const matrix = rows + 8 * j;
            std::uint32_t const low = Transposed ? matrix[b][a] : matrix[a][b];
            std::uint32_t const high = Transposed ? matrix[b + 1][a] : matrix[a][b + 1];
            static_cast<request*>(lanes[l])->out[j] = low | high << 16;
          }
        }
      },
      place);
  std::memcpy(out, mine.out, sizeof out);
}

}  // namespace

namespace detail {

void* reach(void const* address, index_t bytes, index_t alignment, access how, source_place place) {
  return block::current().reach(address, bytes, alignment, how, place);
}
void meet(char const* name, void* mine, combine_lanes combine, source_place place) { block::current().meet(name, mine, combine, place); }
void* shared_memory(index_t bytes, index_t alignment, source_place place) { return block::current().shared(bytes, alignment, place); }
void copy_async(void* to, void const* from, index_t bytes, bool valid, source_place place) {
  block::current().copy_async(to, from, bytes, valid, place);
}
void load_matrices(std::uint32_t (&out)[4], void const* row, source_place place) { load_four<false>(out, row, "load_matrices", place); }
void load_matrices_transposed(std::uint32_t (&out)[4], void const* row, source_place place) {
  load_four<true>(out, row, "load_matrices_transposed", place);
}
void copy_wait(int groups, source_place place) { block::current().copy_wait(groups, place); }
void before_atomic() { block::current().let_others_run(); }

}  // namespace detail
}  // namespace loopserve::dev
