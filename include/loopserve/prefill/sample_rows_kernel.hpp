// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/primitives.hpp>
#include <loopserve/prefill/choose_lines.hpp>

namespace loopserve {

/// positions (heads, sampled): those of the rows that each head is judged by. A thread a row; block (x, head).
struct sample_rows_kernel {
  static constexpr int threads = 64;

  counter_rng layer;
  int turn, chunk, rows, count, last, history, sampled;
  int* positions;

  LOOPSERVE_DEVICE void operator()() const {
    int const i = dev::block().x * threads + dev::thread(), h = dev::block().y;
    if (i >= sampled) { return; }
    dev::store(positions + index_t{h} * sampled + i, history + sampled_row(i, rows, count, last, head_stream(layer, h, turn, chunk)));
  }
};

}  // namespace loopserve
