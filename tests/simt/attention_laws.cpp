// SPDX-License-Identifier: Apache-2.0
#include "device_test.hpp"

#include <loopserve/attention/decode.cuh>
#include <loopserve/attention/dense.cuh>
#include <loopserve/attention/line_sparse.cuh>
#include <loopserve/attention/line_sparse_attention.hpp>
#include <loopserve/testing/attention_laws.hpp>

#include "decode_on_device.hpp"
#include "prefill_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// The device's attention for jobs in the host's memory, as the laws have them: copies them there and the results back.
template <class B>
class attention_of_host_jobs {
 public:
  explicit attention_of_host_jobs(B const& b) : b_(b), attention_(b_) {}

  template <class Element>
  void prefill(std::span<prefill_job<Element> const> jobs) {
    batch_on_device const on(b_, jobs);
    attention_.prefill(on.jobs());
    for (std::size_t j = 0; j < jobs.size(); ++j) {
      auto const out = on.out(b_, j);
      for (index_t at = 0; at < jobs[j].out.size(); ++at) {
        index_t const d = at % jobs[j].out.extent(2), line = at / jobs[j].out.extent(2);
        jobs[j].out(line / jobs[j].out.extent(1), line % jobs[j].out.extent(1), d) = out[static_cast<std::size_t>(at)];
      }
    }
  }

  template <class Element>
  void decode(std::span<decode_job<Element> const> jobs) {
    std::deque<decode_on_device<B, Element>> on;
    std::vector<decode_job<Element>> its;
    for (auto const& job : jobs) { its.push_back(on.emplace_back(b_, job).job()); }
    attention_.decode(std::span<decode_job<Element> const>(its));
    for (std::size_t j = 0; j < jobs.size(); ++j) {
      auto const out = on[j].out(b_);
      for (index_t at = 0; at < jobs[j].out.size(); ++at) {
        jobs[j].out(at / jobs[j].out.extent(1), at % jobs[j].out.extent(1)) = out[static_cast<std::size_t>(at)];
      }
    }
  }

 private:
  B b_;
  line_sparse_attention<B> attention_;
};

/// Passes over plans.
template <class B>
struct dense_of_host_jobs : attention_of_host_jobs<B> {
  using attention_of_host_jobs<B>::attention_of_host_jobs;
  template <class Element>
  void prefill(std::span<prefill_job<Element> const> jobs) {
    std::vector<prefill_job<Element>> dense(jobs.begin(), jobs.end());
    for (auto& job : dense) { job.plan = nullptr; }
    attention_of_host_jobs<B>::prefill(std::span<prefill_job<Element> const>(dense));
  }
};

/// Forgets the token that was generated last.
template <class B>
struct decode_is_late : attention_of_host_jobs<B> {
  using attention_of_host_jobs<B>::attention_of_host_jobs;
  template <class Element>
  void decode(std::span<decode_job<Element> const> jobs) {
    std::vector<decode_job<Element>> late(jobs.begin(), jobs.end());
    for (auto& job : late) { job.parts[1].tokens = std::max(0, job.parts[1].tokens - 1); }
    attention_of_host_jobs<B>::decode(std::span<decode_job<Element> const>(late));
  }
};

// Tensor cores round queries and weights: twice a rounding * (1 + 8) for the cases' numbers, by what attention/matrix_attend_kernel.hpp says.
template <class Element>
constexpr double tolerance = std::is_same_v<Element, float> ? 3e-6 : 2 * rounding<Element> * 9;

}  // namespace

TEST_CASE_TEMPLATE("line-sparse attention on a device keeps the laws", Element, float, bf16, f16) {
  each_device(
      [](auto const& b) {
        attention_of_host_jobs<std::remove_cvref_t<decltype(b)>> attention(b);
        CHECK_NOTHROW(testing::attention_laws<Element>(attention, tolerance<Element>));
      },
      1);
}

TEST_CASE_TEMPLATE("attention on a device that breaks a law is told", Element, float, bf16, f16) {
  each_device(
      [](auto const& b) {
        dense_of_host_jobs<std::remove_cvref_t<decltype(b)>> dense(b);
        testing::prefill_case const planned{64, 400, 2, 1, 64, testing::plan_shape::band_and_verticals, 0, testing::kv_layout::paged};
        CHECK_THROWS_AS(testing::prefill_law<Element>(dense, planned, tolerance<Element>), testing::law_broken);
        decode_is_late<std::remove_cvref_t<decltype(b)>> late(b);
        CHECK_THROWS_AS(testing::decode_law<Element>(late, {.tokens = 2, .generated = 1}, tolerance<Element>), testing::law_broken);
      },
      1);
}
