// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/load_whole.hpp>
#include <loopserve/ops/penalties.hpp>

namespace loopserve {

/// A thread a token.
struct count_tokens_kernel {
  static constexpr int threads = 256;

  token_id const* tokens;
  index_t count;
  int* counts;
  index_t vocabulary;

  LOOPSERVE_DEVICE void operator()() const {
    index_t const i = index_t{dev::block().x} * threads + dev::thread();
    if (i >= count) { return; }
    auto const token = raw(dev::load(tokens + i));
    if (token >= 0 && token < vocabulary) { dev::atomic_add(counts + token, 1); }
  }
};

/// A thread a token of the vocabulary, block (x, y): of the y-th row of the list. The thread of the newest token counts it.
struct penalise_kernel {
  static constexpr int threads = 256;

  tensor_view<float, 2> logits;
  penalised_row const* rows;

  LOOPSERVE_DEVICE void operator()() const {
    auto const row = dev::load_whole(rows + dev::block().y);
    index_t const i = index_t{dev::block().x} * threads + dev::thread();
    if (i >= logits.extent(1)) { return; }
    int count = dev::load(row.counts + i);
    if (i == raw(row.newest)) { dev::store(row.counts + i, ++count); }
    if (count > 0) { dev::store(&logits(row.row, i), penalised(dev::load(&logits(row.row, i)), count, row.by)); }
  }
};

}  // namespace loopserve
