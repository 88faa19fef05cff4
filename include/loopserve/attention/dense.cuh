// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include <loopserve/attention/dense.hpp>
#include <loopserve/attention/dense_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/dev/device_backend.hpp>

namespace loopserve {

/// Dense prefill attention over records that lie in the device's memory and are inside the bounds: one launch whose size and arguments do not depend on what the
/// records hold.
template <device_backend B, class Element>
void attend_dense(B const& b, prefill_record<Element> const* records, prefill_bounds const& most) {
  auto const launch = [&]<int Dim>() {
    using kernel = dense_kernel<Element, Dim>;
    b.launch({blocks_for(most.rows, kernel::tile_rows), most.heads, most.jobs}, kernel{records, most});
  };
  if (most.head_dim <= 128) {
    launch.template operator()<128>();
  } else {
    launch.template operator()<256>();
  }
}

/// The reference's attend_dense, for float32, bf16 and f16. What the jobs point to, page tables included, lies in the device's memory; the jobs themselves may
/// go on return. head_dim is a multiple of 8 of at most 256, and all rows of K and V start at multiples of 16 bytes; other shapes throw `error`. A row's bits
/// depend neither on the other jobs nor on how the rows are cut into calls.
template <device_backend B, class Element>
void attend_dense(B const& b, std::span<prefill_job<Element> const> jobs) {
  std::vector<prefill_record<Element>> records;
  for (auto const& job : jobs) {
    detail::check_prefill_job(job);
    if (job.q.size() > 0) { records.push_back(record_of(job)); }
  }
  if (records.empty()) { return; }
  auto const most = bounds_of(std::span<prefill_record<Element> const>(records));
  auto on_device = b.template make_buffer<prefill_record<Element>>(most.jobs);
  b.copy_to_device(on_device.data(), records.data(), on_device.bytes());
  attend_dense(b, on_device.data(), most);
}

}  // namespace loopserve
