// SPDX-License-Identifier: Apache-2.0
#include "device_test.hpp"

#include <algorithm>
#include <span>
#include <type_traits>
#include <vector>

#include <loopserve/attention/decode.cuh>
#include <loopserve/attention/dense.cuh>
#include <loopserve/attention/line_sparse.cuh>
#include <loopserve/attention/line_sparse_attention.hpp>
#include <loopserve/ops/copy.cuh>
#include <loopserve/testing/attention_laws.hpp>
#include <loopserve/testing/attention_of_host_jobs.hpp>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// Passes over plans.
template <class B>
struct ignores_plans : line_sparse_attention<B> {
  using line_sparse_attention<B>::line_sparse_attention;
  template <class Element>
  void prefill(std::span<prefill_job<Element> const> jobs) {
    std::vector<prefill_job<Element>> dense(jobs.begin(), jobs.end());
    for (auto& job : dense) { job.plan = nullptr; }
    line_sparse_attention<B>::prefill(std::span<prefill_job<Element> const>(dense));
  }
};

/// Forgets the token that was generated last.
template <class B>
struct decodes_late : line_sparse_attention<B> {
  using line_sparse_attention<B>::line_sparse_attention;
  template <class Element>
  void decode(std::span<decode_job<Element> const> jobs) {
    std::vector<decode_job<Element>> late(jobs.begin(), jobs.end());
    for (auto& job : late) { job.parts[1].tokens = std::max(0, job.parts[1].tokens - 1); }
    line_sparse_attention<B>::decode(std::span<decode_job<Element> const>(late));
  }
};

// Tensor cores round queries and weights: twice a rounding * (1 + 8) for the cases' numbers, by what attention/matrix_attend_kernel.hpp says.
template <class Element>
constexpr double tolerance = std::is_same_v<Element, float> ? 3e-6 : 2 * rounding<Element> * 9;

}  // namespace

TEST_CASE_TEMPLATE("line-sparse attention on a device keeps the laws", Element, float, bf16, f16) {
  each_device(
      [](auto const& device) {
        auto b = device;
        testing::attention_of_host_jobs<line_sparse_attention<decltype(b)>> attention(b);
        CHECK_NOTHROW(testing::attention_laws<Element>(attention, tolerance<Element>));
      },
      1);
}

TEST_CASE_TEMPLATE("attention on a device that breaks a law is told", Element, float, bf16, f16) {
  each_device(
      [](auto const& device) {
        auto b = device;
        testing::attention_of_host_jobs<ignores_plans<decltype(b)>> dense(b);
        testing::prefill_case const planned{64, 400, 2, 1, 64, testing::plan_shape::band_and_verticals, 0, testing::kv_layout::paged};
        CHECK_THROWS_AS(testing::prefill_law<Element>(dense, planned, tolerance<Element>), testing::law_broken);
        testing::attention_of_host_jobs<decodes_late<decltype(b)>> late(b);
        CHECK_THROWS_AS(testing::decode_law<Element>(late, {.tokens = 2, .generated = 1}, tolerance<Element>), testing::law_broken);
      },
      1);
}
