// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <span>
#include <vector>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/ops/copy.cuh>
#include <loopserve/testing/backend_memory.hpp>
#include <loopserve/testing/plan_memory.hpp>

#include "device_test.hpp"

namespace loopserve::device_test {

/// The rows without what lies between them: (rows, heads, head_dim).
inline std::vector<float> dense(tensor_view<float const, 3> x) {
  std::vector<float> all;
  for (index_t i = 0; i < x.extent(0); ++i) {
    for (index_t h = 0; h < x.extent(1); ++h) { all.insert(all.end(), &x(i, h, 0), &x(i, h, 0) + x.extent(2)); }
  }
  return all;
}

/// A prefill job's data in the device's memory; its output has a gap of 3 between heads.
template <class B, class Element>
class prefill_on_device {
 public:
  prefill_on_device(B const& b, prefill_job<Element> const& host)
      : extents_(host.q.extents()),
        strides_{extents_[1] * (extents_[2] + 3), extents_[2] + 3, 1},
        planned_(host.plan != nullptr),
        window_(host.window),
        kv_(b, host.kv),
        plan_(b, planned_ ? *host.plan : line_plan_view{}),
        q_(on_device(b, device_test::dense(host.q))),
        out_(on_device(b, std::vector<float>(static_cast<std::size_t>(extents_[0] * strides_[0]), untouched))) {}

  prefill_job<Element> job() {
    return {{q_.data(), extents_}, kv_.view(), planned_ ? &plan_.view() : nullptr, window_, {out_.data(), extents_, strides_}};
  }

  /// (rows, heads, head_dim)
  std::vector<float> out(B const& b) const {
    auto const spaced = on_host(b, out_);
    index_t gaps = 0;
    for (std::size_t i = 0; i < spaced.size(); ++i) { gaps += static_cast<index_t>(i) % strides_[1] >= extents_[2] && spaced[i] == untouched ? 1 : 0; }
    CHECK(gaps == 3 * extents_[0] * extents_[1]);
    return dense(tensor_view<float const, 3>(spaced.data(), extents_, strides_));
  }

 private:
  static constexpr float untouched = -7;  ///< held by outputs before, and between heads after

  std::array<index_t, 3> extents_, strides_;
  bool planned_;
  int window_;
  testing::uploaded_kv<B const, Element> kv_;
  testing::uploaded_plan<B const> plan_;
  typename B::template buffer<float> q_, out_;
};

/// A batch of them, in the order of the host's jobs.
template <class B, class Element>
class batch_on_device {
 public:
  batch_on_device(B const& b, std::span<prefill_job<Element> const> host) {
    for (auto const& job : host) { jobs_.push_back(on_.emplace_back(b, job).job()); }
  }

  std::span<prefill_job<Element> const> jobs() const { return jobs_; }
  std::vector<float> out(B const& b, std::size_t i) const { return on_[i].out(b); }

 private:
  std::deque<prefill_on_device<B, Element>> on_;
  std::vector<prefill_job<Element>> jobs_;
};

template <class B, class Element>
batch_on_device(B const&, std::span<prefill_job<Element> const>) -> batch_on_device<B, Element>;

/// What a job's results on a device may be off by, in the measure of `worst`. Where tensor cores round queries and weights, what attention/matrix_attend_kernel.hpp
/// says; otherwise float32's sums.
template <class Element>
double bound_of(prefill_job<Element> const& job) {
  constexpr double sums = 3e-6;
  int const rows = static_cast<int>(job.q.extent(0)), heads = static_cast<int>(job.q.extent(1)), dim = job.kv.head_dim;
  if (std::is_same_v<Element, float> || (dim != 32 && dim != 64 && dim != 96 && dim != 128)) { return sums; }
  double most_score = 0, most_value = 0;
  for (int key = 0; key < job.kv.tokens; ++key) {
    for (int h = 0; h < heads; ++h) {
      Element const *const k = job.kv.key(key, h / (heads / job.kv.kv_heads)), *const v = job.kv.value(key, h / (heads / job.kv.kv_heads));
      for (int d = 0; d < dim; ++d) { most_value = std::max(most_value, std::fabs(double{static_cast<float>(v[d])})); }
      for (int i = 0; i < rows; i += std::max(1, rows / 8)) {
        float sum = 0;
        for (int d = 0; d < dim; ++d) { sum += std::fabs(job.q(i, h, d) * static_cast<float>(k[d])); }
        most_score = std::max(most_score, sum / std::sqrt(static_cast<double>(dim)));
      }
    }
  }
  return sums + 2 * rounding<Element> * (1 + most_score) * most_value;
}

/// Gives the job queries and keys whose scores are whole numbers in base 2: all weights are powers of two, and rounding them or the queries to 16 bits changes nothing.
/// So what tensor cores compute is exact but for float32's sums, and one wrong cell shows.
template <class Element>
void make_exact(prefill_job<Element> const& job) {
  counter_rng const draw{static_cast<std::uint64_t>(job.kv.tokens), 11};
  std::uint64_t n = 0;
  int const dim = job.kv.head_dim;
  float const one = static_cast<float>(std::sqrt(static_cast<double>(dim)) * std::log(2.0));
  double const share = std::min(0.5, 6.0 / dim);  // few: so that scores stay small and many keys count
  for (index_t i = 0; i < job.q.extent(0); ++i) {
    for (index_t h = 0; h < job.q.extent(1); ++h) {
      for (int d = 0; d < dim; ++d) {
        double const x = draw.uniform(n++);
        const_cast<float&>(job.q(i, h, d)) = x < share ? one : x < 2 * share ? -one : 0;
      }
    }
  }
  for (int key = 0; key < job.kv.tokens; ++key) {
    for (int h = 0; h < job.kv.kv_heads; ++h) {
      for (int d = 0; d < dim; ++d) {
        const_cast<Element&>(job.kv.key(key, h)[d]) = Element(static_cast<float>(std::floor(5 * draw.uniform(n++)) - 2));
      }
    }
  }
}
inline constexpr double exact = 3e-6;

}  // namespace loopserve::device_test
