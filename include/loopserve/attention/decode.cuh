// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include <loopserve/attention/decode.hpp>
#include <loopserve/attention/decode_kernel.hpp>
#include <loopserve/attention/decode_record.hpp>
#include <loopserve/dev/device_backend.hpp>

namespace loopserve {

/// Decode attention over records that lie in the device's memory and are inside the bounds, with scratch of `most.state_floats()`: two launches whose sizes and
/// arguments do not depend on what the records hold, so that a CUDA graph may replay them.
template <device_backend B, class Element>
void attend_decode(B const& b, decode_record<Element> const* records, decode_bounds const& most, float* states) {
  auto const launch = [&]<int Group, int Dim>() {
    int const stretches = blocks_for(most.group, Group);
    b.launch({most.splits, most.kv_heads * stretches, most.jobs}, decode_kernel<Element, Group, Dim>{records, most, states});
  };
  auto const with_dim = [&]<int Group>() {
    if (most.head_dim <= 128) {
      launch.template operator()<Group, 128>();
    } else {
      launch.template operator()<Group, 256>();
    }
  };
  if (most.group <= 1) {
    with_dim.template operator()<1>();
  } else if (most.group <= 4) {
    with_dim.template operator()<4>();
  } else {
    with_dim.template operator()<8>();
  }
  b.launch({most.heads, most.jobs}, decode_merge_kernel<Element>{records, most, states});
}

/// The reference's attend_decode, for float32, bf16 and f16. What the jobs point to, page tables included, lies in the device's memory; the jobs themselves may
/// go on return. head_dim is a multiple of 8 of at most 256, and all rows of K and V start at multiples of 16 bytes; other shapes throw `error`. A head's
/// bits do not depend on the other jobs.
template <device_backend B, class Element>
void attend_decode(B const& b, std::span<decode_job<Element> const> jobs) {
  std::vector<decode_record<Element>> records;
  for (auto const& job : jobs) {
    detail::check_decode_job(job);
    if (job.q.size() > 0) { records.push_back(record_of(job)); }
  }
  if (records.empty()) { return; }
  auto const most = bounds_of(std::span<decode_record<Element> const>(records));
  auto on_device = b.template make_buffer<decode_record<Element>>(most.jobs);
  b.copy_to_device(on_device.data(), records.data(), on_device.bytes());
  auto roomy = most;  // a context that grows by a token needs no more memory
  roomy.splits = detail::decode_most_splits;
  auto states = b.template make_buffer<float>(roomy.state_floats());
  attend_decode(b, on_device.data(), most, states.data());
}

}  // namespace loopserve
