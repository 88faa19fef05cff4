// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include <loopserve/attention/attend_keys.hpp>
#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/core/backend.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/core/parallel.hpp>

namespace loopserve {

namespace detail {

/// Throws `error` where a job's tensors do not fit together.
template <class Element>
void check_decode_job(decode_job<Element> const& job) {
  check(job.q.extent(0) == job.out.extent(0) && job.q.extent(1) == job.out.extent(1), "decode attention: out must have q's extents");
  check(job.q.stride(1) == 1 && job.out.stride(1) == 1, "decode attention: a head's elements must be contiguous");
  for (auto const& part : job.parts) {
    if (part.tokens == 0) { continue; }
    check(part.kv_heads > 0 && job.q.extent(0) % part.kv_heads == 0, "decode attention: query heads must be a multiple of KV heads");
    check(job.q.extent(1) == part.head_dim, "decode attention: q and kv must have the same head_dim");
  }
  check(job.parts[0].tokens == 0 || job.parts[1].tokens == 0 || job.parts[0].kv_heads == job.parts[1].kv_heads,
        "decode attention: both parts must have the same KV heads");
}

}  // namespace detail

/// Exact softmax attention of one query row a job over the tokens of its parts whose positions are at least `first_position`. A head that is left
/// without a token is zero. Sums in float64. Throws `error` where shapes do not fit.
template <class Element>
void attend_decode(reference const& b, std::span<decode_job<Element> const> jobs) {
  std::vector<int> starts{0};
  for (auto const& job : jobs) {
    detail::check_decode_job(job);
    starts.push_back(starts.back() + static_cast<int>(job.q.extent(0)));
  }
  parallel_for(b.threads(), starts.back(), [&](index_t t) {
    std::size_t j = 0;
    while (t >= starts[j + 1]) { ++j; }
    auto const& job = jobs[j];
    auto const head = static_cast<int>(t) - starts[j];
    detail::attend_keys row(&job.q(head, 0), static_cast<int>(job.q.extent(1)));
    std::vector<int> keys;
    for (auto const& part : job.parts) {
      if (part.tokens == 0) { continue; }
      int const kv_head = head / (static_cast<int>(job.q.extent(0)) / part.kv_heads);
      keys.clear();
      for (int i = 0; i < part.length(kv_head); ++i) {
        if (part.position(i, kv_head) >= job.first_position) { keys.push_back(i); }
      }
      row.add(part, kv_head, keys);
    }
    row.write(&job.out(head, 0));
  });
}

}  // namespace loopserve
