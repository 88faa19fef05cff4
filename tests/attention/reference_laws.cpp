// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <loopserve/attention/dense_attention.hpp>
#include <loopserve/attention/line_sparse_attention.hpp>
#include <loopserve/testing/attention_laws.hpp>

namespace ls = loopserve;

TEST_CASE_TEMPLATE("the reference's line-sparse attention keeps the laws", Element, float, ls::bf16, ls::f16) {
  ls::reference b;
  ls::line_sparse_attention<ls::reference> attention(b);
  ls::testing::attention_laws<Element>(attention, 1e-6);
}

TEST_CASE("the reference's dense attention passes over plans") {
  ls::reference b;
  ls::dense_attention<ls::reference> attention(b);
  for (auto shape : ls::testing::prefill_cases()) {
    ls::testing::prefill_world<float> world(shape);
    auto const job = world.job();
    std::vector<ls::prefill_job<float>> const jobs{job};
    attention.prefill(std::span<ls::prefill_job<float> const>(jobs));
    ls::testing::detail::require_prefill(job, nullptr, 1e-6, ls::testing::name_of(shape), 29);
  }
}

TEST_CASE("a law that is broken is told") {
  ls::reference b;
  struct ignores_plans : ls::dense_attention<ls::reference> {
    using ls::dense_attention<ls::reference>::dense_attention;
  } attention(b);
  CHECK_THROWS_AS(ls::testing::attention_laws<float>(attention, 1e-6), ls::testing::law_broken);
}

TEST_CASE("jobs that do not fit together are refused") {
  ls::reference b;
  ls::testing::prefill_world<float> world({4, 9, 2, 1, 8, ls::testing::plan_shape::scattered});
  auto const run = [&](ls::prefill_job<float> const& job) {
    std::vector<ls::prefill_job<float>> const jobs{job};
    attend_lines(b, std::span<ls::prefill_job<float> const>(jobs));
  };
  auto job = world.job();
  run(job);
  job.kv = job.kv.slice(0, 8);
  CHECK_THROWS_AS(run(job), ls::error);
  job = world.job();
  job.q = job.q.rows(0, 3);
  CHECK_THROWS_AS(run(job), ls::error);
  job = world.job();
  job.plan = nullptr;
  job.kv = job.kv.slice(0, 3);
  CHECK_THROWS_AS(run(job), ls::error);
}
