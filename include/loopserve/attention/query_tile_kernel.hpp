// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/attention/prefill_record.hpp>

namespace loopserve::detail {

/// Bits n, n + 1, .. 63; all where n is not positive.
LOOPSERVE_HOST_DEVICE constexpr std::uint64_t bits_from(int n) { return n <= 0 ? ~std::uint64_t{0} : n >= 64 ? 0 : ~std::uint64_t{0} << n; }

/// Where the rows of a tile stand: row i of `count` at `position` + (phase + i) / group, 0 <= phase < group; each sees the last `window` keys up to itself
/// (0: all of them).
struct row_span {
  int position, count, window;
  int group = 1, phase = 0;

  LOOPSERVE_HOST_DEVICE constexpr int first_key() const { return window > 0 && position >= window ? position - window + 1 : 0; }
  LOOPSERVE_HOST_DEVICE constexpr int end_key() const { return position + (phase + count - 1) / group + 1; }

  /// The first row that stands at k or behind it, were there rows enough; it may be negative.
  LOOPSERVE_HOST_DEVICE constexpr int first_row_at(int k) const { return (k - position) * group - phase; }

  /// Of one head's rows those from `from` on, at most 64.
  LOOPSERVE_HOST_DEVICE constexpr row_span part(int from) const {
    int const left = count - from;
    return {position + from, left < 64 ? left : 64, window};
  }

  /// Bit i is set where row i may see key k, i < 64.
  LOOPSERVE_HOST_DEVICE constexpr std::uint64_t seeing(int k) const {
    return bits_from(first_row_at(k)) & (window > 0 ? ~bits_from(first_row_at(k + window)) : ~std::uint64_t{0});
  }
};

/// Queries that are attended to together: of the rows of `group` query heads from `head` on, counted through row by row, the `count` from `first` on. Query heads
/// that share a KV head so share tiles of its keys: each is read once for all of them, and few new rows fill a tile.
struct query_tile {
  int head, group, first, count;

  LOOPSERVE_DEVICE int row(int i) const { return (first + i) / group; }
  LOOPSERVE_DEVICE int head_of(int i) const { return head + (first + i) % group; }

  template <class Element>
  LOOPSERVE_DEVICE float const* query(prefill_record<Element> const& job, int i) const {
    return job.q + row(i) * job.q_row_stride + head_of(i) * job.q_head_stride;
  }
  template <class Element>
  LOOPSERVE_DEVICE float* result(prefill_record<Element> const& job, int i) const {
    return job.out + row(i) * job.out_row_stride + head_of(i) * job.out_head_stride;
  }
  template <class Element>
  LOOPSERVE_DEVICE row_span span(prefill_record<Element> const& job) const {
    return {job.kv.tokens - job.rows + first / group, count, job.window, group, first % group};
  }
};

}  // namespace loopserve::detail
