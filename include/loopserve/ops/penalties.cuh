// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/penalties.hpp>
#include <loopserve/ops/penalties_kernel.hpp>

namespace loopserve {

/// The reference's count_tokens.
template <device_backend B>
void count_tokens(B const& b, std::span<token_id const> tokens, std::span<int> counts) {
  auto const count = static_cast<index_t>(tokens.size());
  b.launch({blocks_for(count, count_tokens_kernel::threads)},
           count_tokens_kernel{tokens.data(), count, counts.data(), static_cast<index_t>(counts.size())});
}

/// The reference's penalise_logits, in one launch; the list is copied to the device. Nothing waits.
template <device_backend B>
void penalise_logits(B const& b, tensor_view<float, 2> logits, std::span<penalised_row const> rows) {
  if (rows.empty()) { return; }
  for (auto const& p : rows) { check(p.row >= 0 && p.row < logits.extent(0), "penalise_logits: a row that is not there"); }
  auto list = b.template make_buffer<penalised_row>(static_cast<index_t>(rows.size()));
  b.copy_to_device(list.data(), rows.data(), list.bytes());
  b.launch({blocks_for(logits.extent(1), penalise_kernel::threads), static_cast<int>(rows.size())}, penalise_kernel{logits, list.data()});
}

}  // namespace loopserve
