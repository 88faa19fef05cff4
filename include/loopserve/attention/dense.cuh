// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <utility>
#include <vector>

#include <loopserve/attention/dense.hpp>
#include <loopserve/attention/dense_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/attention/with_attend_kernel.hpp>
#include <loopserve/dev/device_backend.hpp>

namespace loopserve {

namespace detail {

/// Dense prefill attention in tiles of this shape.
template <row_shape Rows, device_backend B, class Element>
void attend_dense_in(B const& b, prefill_record<Element> const* records, prefill_bounds const& most) {
  with_attend<Element, Rows>(most.head_dim, [&]<class Attend>() {
    b.launch({blocks_for(most.group_rows, Attend::tile_rows), most.kv_heads, most.jobs}, dense_kernel<Attend>{records, most});
  });
}

}  // namespace detail

/// Dense prefill attention over records that lie in the device's memory, are inside the bounds and have heads of one size: one launch whose size and arguments do not
/// depend on what the records hold.
template <device_backend B, class Element>
void attend_dense(B const& b, prefill_record<Element> const* records, prefill_bounds const& most) {
  if (detail::rows_are_many(index_t{blocks_for(most.group_rows, 128)} * most.kv_heads * most.jobs)) {
    detail::attend_dense_in<detail::wide_tile>(b, records, most);
  } else {
    detail::attend_dense_in<detail::narrow_tile>(b, records, most);
  }
}

namespace detail {

/// Calls `attend` with the records of checked jobs, in the device's memory, and their bounds: once for each size of heads.
template <device_backend B, class Element, class Attend>
void with_prefill_records(B const& b, std::span<prefill_job<Element> const> jobs, Attend attend) {
  std::vector<prefill_record<Element>> records;
  for (auto const& job : jobs) {
    check_prefill_job(job);
    if (job.q.size() > 0) { records.push_back(record_of(job)); }
  }
  each_head_dim(std::move(records), [&](std::span<prefill_record<Element> const> part) {
    auto on_device = b.template make_buffer<prefill_record<Element>>(static_cast<index_t>(part.size()));
    b.copy_to_device(on_device.data(), part.data(), on_device.bytes());
    attend(on_device.data(), bounds_of(part));
  });
}

}  // namespace detail

/// The reference's attend_dense, for float32, bf16 and f16. What the jobs point to, page tables included, lies in the device's memory; the jobs themselves may
/// go on return. head_dim is a multiple of 8 of at most 256, and all rows of K and V and all heads of q start at multiples of 16 bytes; other shapes throw `error`.
/// A row's bits depend neither on the other jobs nor on how the rows are cut into calls.
template <device_backend B, class Element>
void attend_dense(B const& b, std::span<prefill_job<Element> const> jobs) {
  detail::with_prefill_records(b, jobs, [&](auto const* records, prefill_bounds const& most) { attend_dense(b, records, most); });
}

}  // namespace loopserve
