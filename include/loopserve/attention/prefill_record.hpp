// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/core/error.hpp>

namespace loopserve {

/// A prefill_job without its plan as the device's kernels read it, from an array in the device's memory.
template <class Element>
struct prefill_record {
  float const* q;
  float* out;
  index_t q_row_stride, q_head_stride, out_row_stride, out_head_stride;  ///< in elements
  kv_view<Element> kv;
  int rows, heads, head_dim, window;
};

/// The most that any record of a batch has: the sizes of launches follow from it.
struct prefill_bounds {
  int jobs = 0, rows = 0, heads = 0, head_dim = 0;
};

/// The record of a checked job whose data lies in the device's memory. Throws `error` for a shape that the kernels do not take.
template <class Element>
prefill_record<Element> record_of(prefill_job<Element> const& job) {
  auto const dim = static_cast<int>(job.q.extent(2));
  check(dim % 8 == 0 && dim <= 256, "prefill attention on a device: head_dim must be a multiple of 8 of at most 256");
  check(job.kv.row_stride * static_cast<index_t>(sizeof(Element)) % 16 == 0,
        "prefill attention on a device: rows must start at multiples of 16 bytes");
  return {job.q.data(),
          job.out.data(),
          job.q.stride(0),
          job.q.stride(1),
          job.out.stride(0),
          job.out.stride(1),
          job.kv,
          static_cast<int>(job.q.extent(0)),
          static_cast<int>(job.q.extent(1)),
          dim,
          job.window};
}

/// What holds all of these.
template <class Element>
prefill_bounds bounds_of(std::span<prefill_record<Element> const> records) {
  prefill_bounds most;
  most.jobs = static_cast<int>(records.size());
  for (auto const& r : records) {
    most.rows = std::max(most.rows, r.rows);
    most.heads = std::max(most.heads, r.heads);
    most.head_dim = std::max(most.head_dim, r.head_dim);
  }
  return most;
}

}  // namespace loopserve
