// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/ops/copy.cuh>
#include <loopserve/testing/backend_memory.hpp>

#include "device_test.hpp"

namespace loopserve::device_test {

/// A decode job's data in the device's memory; its output has a gap of 3 between heads.
template <class B, class Element>
class decode_on_device {
 public:
  decode_on_device(B const& b, decode_job<Element> const& host)
      : heads_(host.q.extent(0)),
        dim_(host.q.extent(1)),
        first_position_(host.first_position),
        first_(b, host.parts[0]),
        second_(b, host.parts[1]),
        q_(on_device(b, std::vector<float>(host.q.data(), host.q.data() + host.q.size()))),
        out_(on_device(b, std::vector<float>(static_cast<std::size_t>(heads_ * (dim_ + 3)), untouched))) {}

  decode_job<Element> job() {
    return {{q_.data(), {heads_, dim_}}, {first_.view(), second_.view()}, first_position_, {out_.data(), {heads_, dim_}, {dim_ + 3, 1}}};
  }

  std::vector<float> out(B const& b) const {
    std::vector<float> rows;
    auto const spaced = on_host(b, out_);
    for (index_t h = 0; h < heads_; ++h) {
      CHECK(std::all_of(spaced.begin() + h * (dim_ + 3) + dim_, spaced.begin() + (h + 1) * (dim_ + 3), [](float x) { return x == untouched; }));
      rows.insert(rows.end(), spaced.begin() + h * (dim_ + 3), spaced.begin() + h * (dim_ + 3) + dim_);
    }
    return rows;
  }

 private:
  static constexpr float untouched = -7;  ///< held by outputs before, and between heads after

  index_t heads_, dim_;
  int first_position_;
  testing::uploaded_kv<B const, Element> first_, second_;
  typename B::template buffer<float> q_, out_;
};

}  // namespace loopserve::device_test
