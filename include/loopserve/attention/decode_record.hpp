// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/core/error.hpp>

namespace loopserve {

/// A decode_job as the device's kernels read it, from an array in the device's memory. A step that is replayed (a CUDA graph) needs no other arguments:
/// what changes from step to step is written into the array.
template <class Element>
struct decode_record {
  float const* q;
  float* out;
  index_t q_stride, out_stride;  ///< elements between two heads
  kv_view<Element> parts[2];
  int heads, kv_heads, head_dim, first_position;
  int splits, split_keys;  ///< each split is one block's share of the tokens of both parts, one after the other
};

/// The most that any record of a batch has: what sizes of launches and scratch follow from. A replayed step must stay inside.
struct decode_bounds {
  int jobs = 0;
  int heads = 0, kv_heads = 0, group = 0;  ///< group: query heads of a KV head
  int head_dim = 0;
  int splits = 0;

  /// Floats of scratch: each split's top, weight and sums for each head.
  index_t state_floats() const { return index_t{jobs} * splits * heads * (head_dim + 2); }
};

namespace detail {

inline constexpr int decode_most_splits = 128;  // threads of the kernel that merges them
inline constexpr int decode_fewest_keys = 128;  // of a split: a tile for each warp

/// The keys of a split of a context of `tokens`: it depends on nothing else, so that a job's bits do not depend on its batch.
constexpr int decode_keys_per_split(int tokens) {
  int const even = static_cast<int>((index_t{tokens} + decode_most_splits - 1) / decode_most_splits);
  return (even + decode_fewest_keys - 1) / decode_fewest_keys * decode_fewest_keys;
}

}  // namespace detail

/// The record of a checked job whose data lies in the device's memory. Throws `error` for a shape that the kernels do not take.
template <class Element>
decode_record<Element> record_of(decode_job<Element> const& job) {
  auto const dim = static_cast<int>(job.q.extent(1));
  check(dim % 8 == 0 && dim <= 256, "decode attention on a device: head_dim must be a multiple of 8 of at most 256");
  int tokens = 0, kv_heads = 1;
  for (auto const& part : job.parts) {
    if (part.tokens == 0) { continue; }
    check(part.row_stride * static_cast<index_t>(sizeof(Element)) % 16 == 0,
          "decode attention on a device: rows must start at multiples of 16 bytes");
    tokens += part.tokens;
    kv_heads = part.kv_heads;
  }
  int const keys = tokens == 0 ? 0 : detail::decode_keys_per_split(tokens);
  int const splits = tokens == 0 ? 0 : (tokens - 1) / keys + 1;
  return {job.q.data(),
          job.out.data(),
          job.q.stride(0),
          job.out.stride(0),
          {job.parts[0], job.parts[1]},
          static_cast<int>(job.q.extent(0)),
          kv_heads,
          dim,
          job.first_position,
          splits,
          keys};
}

/// What holds all of these.
template <class Element>
decode_bounds bounds_of(std::span<decode_record<Element> const> records) {
  decode_bounds most;
  most.jobs = static_cast<int>(records.size());
  for (auto const& r : records) {
    most.heads = std::max(most.heads, r.heads);
    most.kv_heads = std::max(most.kv_heads, r.kv_heads);
    most.group = std::max(most.group, r.heads / r.kv_heads);
    most.head_dim = std::max(most.head_dim, r.head_dim);
    most.splits = std::max(most.splits, r.splits);
  }
  return most;
}

}  // namespace loopserve
