// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include <loopserve/core/error.hpp>
#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/line_logits_kernel.hpp>
#include <loopserve/ops/line_mass.hpp>
#include <loopserve/ops/line_mass_kernel.hpp>

namespace loopserve {

/// Attention of sampled rows of some heads as a device keeps it: logits, and the largest logit and the weight of each row.
template <device_backend B>
struct line_logits {
  typename B::template buffer<float> logits;
  typename B::template buffer<softmax_part> wholes;
  index_t stride = 0;

  softmax_cells cells() const { return {logits.data(), stride, wholes.data()}; }
};

/// line_scores for `heads` query heads from `first_head` on at once: attention of their sampled rows over all keys, float32. positions (heads, sampled),
/// ascending, are those of rows of q and lie in the device's memory. Keys of 16 bits whose head_dim is a multiple of 16 and whose rows start at
/// multiples of 16 bytes go through the tensor cores, and are read once for the query heads of a KV head; others do not. Three launches; nothing waits.
template <device_backend B, class Element>
line_logits<B> score_lines(B const& b, tensor_view<float const, 3> q, kv_view<Element> kv, int first_head, int heads, int const* positions,
                           int sampled) {
  check(q.extent(2) == kv.head_dim && kv.kv_heads > 0 && q.extent(1) % kv.kv_heads == 0 && q.extent(0) <= kv.length() && q.stride(2) == 1,
        "line_scores: q and the keys must agree in shape, and the keys hold q's own");
  check(first_head >= 0 && heads >= 0 && first_head + heads <= q.extent(1), "line_scores: the heads are heads of q");
  int const keys = kv.length(), group = static_cast<int>(q.extent(1)) / kv.kv_heads, tiles = blocks_for(keys, line_tile),
            rows_of_all = heads * sampled;
  line_logits<B> made;
  made.stride = (keys + 15) / 16 * 16;
  made.logits = b.template make_buffer<float>(rows_of_all * made.stride);
  made.wholes = b.template make_buffer<softmax_part>(rows_of_all);
  if (rows_of_all == 0 || keys == 0) { return made; }
  int const parts_a_row = tiles * (line_tile / line_part);
  auto parts = b.template make_buffer<softmax_part>(index_t{rows_of_all} * parts_a_row);
  line_logits_view const out{first_head, heads, sampled, keys, positions, made.logits.data(), made.stride, parts.data(), parts_a_row};
  float const scale = static_cast<float>(1 / std::sqrt(static_cast<double>(kv.head_dim)));
  bool done = false;
  if constexpr (sizeof(Element) == 2) {
    if (detail::key_block<Element>::takes(kv)) {
      using pack = pack_queries_kernel<Element>;
      int const units = blocks_for(sampled, pack::rows_per_tile) * (kv.head_dim / 16);
      auto packed = b.template make_buffer<std::uint32_t>(index_t{heads} * units * 32 * 8);
      b.launch({blocks_for(units, pack::threads / 32), heads}, pack{q, out, scale, packed.data()});
      int const kv_heads = (first_head + heads - 1) / group - first_head / group + 1;
      b.launch({tiles, kv_heads}, line_logits_kernel<Element>{kv, group, out, packed.data()});
      done = true;
    }
  }
  if (!done) {
    using kernel = plain_line_logits_kernel<Element>;
    b.launch({tiles, heads, blocks_for(sampled, kernel::rows_per_block)}, kernel{q, kv, group, out, scale});
  }
  b.launch({blocks_for(rows_of_all, merge_softmax_kernel::threads / 32)},
           merge_softmax_kernel{parts.data(), rows_of_all, parts_a_row, made.wholes.data()});
  return made;
}

}  // namespace loopserve
