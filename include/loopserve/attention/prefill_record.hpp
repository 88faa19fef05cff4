// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

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

/// The same with its plan, whose lists lie in the device's memory, and the memory for the index of its lines.
template <class Element>
struct planned_record : prefill_record<Element> {
  line_plan_view plan;  ///< no heads: dense
  std::uint64_t* bits;  ///< (heads, 2, line_words): verticals, slashes
};

namespace detail {

/// Words of 64 bits that have a bit for each key.
LOOPSERVE_HOST_DEVICE constexpr int line_words(int keys) { return static_cast<int>((index_t{keys} + 63) / 64); }

}  // namespace detail

/// The most that any record of a batch has: the sizes of launches follow from it.
struct prefill_bounds {
  int jobs = 0, rows = 0, heads = 0, head_dim = 0;
  int kv_heads = 0, group_rows = 0;  ///< rows of all query heads that share a KV head
};

/// The record of a checked job whose data lies in the device's memory. Throws `error` for a shape that the kernels do not take.
template <class Element>
prefill_record<Element> record_of(prefill_job<Element> const& job) {
  auto const dim = static_cast<int>(job.q.extent(2));
  check(dim % 8 == 0 && dim <= 256, "prefill attention on a device: head_dim must be a multiple of 8 of at most 256");
  check(job.kv.row_stride * static_cast<index_t>(sizeof(Element)) % 16 == 0,
        "prefill attention on a device: rows must start at multiples of 16 bytes");
  check(reinterpret_cast<std::uintptr_t>(job.q.data()) % 16 == 0 && job.q.stride(0) % 4 == 0 && job.q.stride(1) % 4 == 0,
        "prefill attention on a device: queries must start at multiples of 16 bytes");
  // Rows of a group are counted through, and compared with a window behind the last key.
  index_t const group = job.q.extent(1) / job.kv.kv_heads;
  check(index_t{2} * job.kv.tokens * group < 1 << 30, "prefill attention on a device: keys times query heads a KV head must be less than 2^29");
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
          job.window < job.kv.tokens ? job.window : 0};
}

/// What holds all of these.
template <class Record>
prefill_bounds bounds_of(std::span<Record const> records) {
  prefill_bounds most;
  most.jobs = static_cast<int>(records.size());
  for (auto const& r : records) {
    most.rows = std::max(most.rows, r.rows);
    most.heads = std::max(most.heads, r.heads);
    most.head_dim = std::max(most.head_dim, r.head_dim);
    most.kv_heads = std::max(most.kv_heads, r.kv.kv_heads);
    most.group_rows = std::max(most.group_rows, r.rows * (r.heads / r.kv.kv_heads));
  }
  return most;
}

namespace detail {

/// Calls `attend` with each part of the batch whose heads are of one size. How a head's rows are cut and summed follows from its size: so it does not depend on what
/// else is in the batch.
template <class Record, class Attend>
void each_head_dim(std::vector<Record> records, Attend attend) {
  std::stable_sort(records.begin(), records.end(), [](auto const& a, auto const& b) { return a.head_dim < b.head_dim; });
  std::span<Record const> left(records);
  while (!left.empty()) {
    auto const same = std::find_if(left.begin(), left.end(), [&](auto const& r) { return r.head_dim != left[0].head_dim; }) - left.begin();
    attend(left.first(static_cast<std::size_t>(same)));
    left = left.subspan(static_cast<std::size_t>(same));
  }
}

}  // namespace detail
}  // namespace loopserve
