// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/attention/dense_attention.hpp>
#include <loopserve/attention/line_sparse_attention.hpp>
#include <loopserve/testing/attention_laws.hpp>

namespace ls = loopserve;

TEST_CASE_TEMPLATE("the cpu's line-sparse attention keeps the laws with every instruction set", Element, float, ls::bf16, ls::f16) {
  for (auto level : ls::supported_isas()) {
    CAPTURE(static_cast<int>(level));
    ls::cpu b(ls::cpu_options{.threads = 2, .level = level});
    ls::line_sparse_attention<ls::cpu> attention(b);
    ls::testing::attention_laws<Element>(attention, 3e-6);
  }
}

TEST_CASE("results are the same bits on any number of threads") {
  auto const run = [](int threads) {
    ls::cpu b(ls::cpu_options{.threads = threads});
    ls::line_sparse_attention<ls::cpu> attention(b);
    std::vector<std::vector<std::uint32_t>> bits;
    for (auto const& shape : ls::testing::prefill_cases()) {
      ls::testing::prefill_world<ls::bf16> world(shape);
      std::vector<ls::prefill_job<ls::bf16>> const jobs{world.job()};
      attention.prefill(std::span<ls::prefill_job<ls::bf16> const>(jobs));
      bits.push_back(world.out());
    }
    for (auto const& shape : ls::testing::decode_cases()) {
      ls::testing::decode_world<ls::bf16> world(shape);
      std::vector<ls::decode_job<ls::bf16>> const jobs{world.job()};
      attention.decode(std::span<ls::decode_job<ls::bf16> const>(jobs));
      bits.push_back(world.out());
    }
    return bits;
  };
  auto const one = run(1);
  CHECK(run(2) == one);
  CHECK(run(7) == one);
}

TEST_CASE("a dense head has the same bits in a mixed plan as without a plan") {
  ls::cpu b(2);
  ls::testing::prefill_world<float> world({100, 700, 4, 2, 64, ls::testing::plan_shape::mixed});
  auto job = world.job();
  std::vector<ls::prefill_job<float>> jobs{job};
  attend_lines(b, std::span<ls::prefill_job<float> const>(jobs));
  std::vector<float> mixed;
  for (int i = 0; i < 100; ++i) { mixed.insert(mixed.end(), &job.out(i, 2, 0), &job.out(i, 2, 0) + 64); }
  jobs[0].plan = nullptr;
  attend_dense(b, std::span<ls::prefill_job<float> const>(jobs));
  std::vector<float> dense;
  for (int i = 0; i < 100; ++i) { dense.insert(dense.end(), &job.out(i, 2, 0), &job.out(i, 2, 0) + 64); }
  CHECK(mixed == dense);
}
