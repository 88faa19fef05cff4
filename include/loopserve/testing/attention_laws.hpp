// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <loopserve/testing/attention_cases.hpp>
#include <loopserve/testing/decode_cases.hpp>
#include <loopserve/testing/law.hpp>

namespace loopserve::testing {

/// The law suite of attention_backend (METHOD: "sparse on a plan = dense with the plan's mask"), for any test framework: each function throws law_broken.
/// `tolerance` is absolute; values and queries of the cases are about 1, so it is also about relative.

namespace detail {

/// Softmax attention of one row under an explicit mask, in float64, with no code shared with any implementation.
template <class Element>
std::vector<double> masked_row(float const* q, kv_view<Element> const& kv, int kv_head, std::vector<char> const& mask) {
  std::vector<double> score(mask.size(), 0.0);
  double top = -1e300;
  for (std::size_t k = 0; k < mask.size(); ++k) {
    if (mask[k] == 0) { continue; }
    for (int d = 0; d < kv.head_dim; ++d) {
      score[k] += static_cast<double>(q[d]) * static_cast<double>(static_cast<float>(kv.key(static_cast<int>(k), kv_head)[d]));
    }
    score[k] /= std::sqrt(static_cast<double>(kv.head_dim));
    top = std::max(top, score[k]);
  }
  std::vector<double> out(static_cast<std::size_t>(kv.head_dim), 0.0);
  double weight = 0;
  for (std::size_t k = 0; k < mask.size(); ++k) {
    if (mask[k] == 0) { continue; }
    double const w = std::exp(score[k] - top);
    weight += w;
    for (int d = 0; d < kv.head_dim; ++d) {
      out[static_cast<std::size_t>(d)] += w * static_cast<double>(static_cast<float>(kv.value(static_cast<int>(k), kv_head)[d]));
    }
  }
  for (auto& x : out) { x = weight > 0 ? x / weight : 0; }
  return out;
}

inline void require_row(std::vector<double> const& expected, float const* found, double tolerance, std::string const& where) {
  for (std::size_t d = 0; d < expected.size(); ++d) {
    require(std::abs(expected[d] - static_cast<double>(found[d])) <= tolerance,
            where + ", element " + std::to_string(d) + ": expected " + std::to_string(expected[d]) + ", found " + std::to_string(found[d]));
  }
}

/// What the plan keeps for the row at `position`, cell by cell as its definition says.
inline std::vector<char> plan_mask(line_plan_view const* plan, int head, int position, int window) {
  std::vector<char> mask(static_cast<std::size_t>(position) + 1, plan == nullptr || plan->dense[head] != 0 ? 1 : 0);
  if (plan != nullptr && plan->dense[head] == 0) {
    for (int i = 0; i < plan->vertical_counts[head]; ++i) {
      int const c = plan->verticals[head * plan->stride + i];
      if (c <= position) { mask[static_cast<std::size_t>(c)] = 1; }
    }
    for (int i = 0; i < plan->slash_counts[head]; ++i) {
      int const d = plan->slashes[head * plan->stride + i];
      if (d <= position) { mask[static_cast<std::size_t>(position - d)] = 1; }
    }
  }
  for (int k = 0; window > 0 && k <= position - window; ++k) { mask[static_cast<std::size_t>(k)] = 0; }
  return mask;
}

template <class Element>
void require_prefill(prefill_job<Element> const& job, line_plan_view const* plan, double tolerance, std::string const& where, int row_step) {
  auto const rows = static_cast<int>(job.q.extent(0));
  auto const heads = static_cast<int>(job.q.extent(1));
  for (int h = 0; h < heads; ++h) {
    for (int step = 0; step * row_step < rows + row_step - 1; ++step) {
      int const i = std::min(step * row_step, rows - 1);  // the last row is always looked at
      auto const mask = plan_mask(plan, h, job.kv.length() - rows + i, job.window);
      auto const expected = masked_row(&job.q(i, h, 0), job.kv, h / (heads / job.kv.kv_heads), mask);
      require_row(expected, &job.out(i, h, 0), tolerance, where + ", head " + std::to_string(h) + ", row " + std::to_string(i));
    }
  }
}

}  // namespace detail

/// Prefill on a plan equals dense attention with the plan's mask; without a plan it equals dense attention.
template <class Element, class Attention>
void prefill_law(Attention& attention, prefill_case const& shape, double tolerance) {
  prefill_world<Element> world(shape);
  auto const job = world.job();
  std::vector<prefill_job<Element>> const jobs{job};
  attention.prefill(std::span<prefill_job<Element> const>(jobs));
  detail::require_prefill(job, job.plan, tolerance, "prefill " + name_of(shape), std::max(1, shape.rows / 40));
}

/// A ragged batch gives each job the very bits that it gets alone.
template <class Element, class Attention>
void prefill_batch_law(Attention& attention, std::vector<prefill_case> const& shapes) {
  std::vector<prefill_world<Element>> worlds;
  for (auto const& shape : shapes) { worlds.emplace_back(shape); }
  std::vector<prefill_job<Element>> jobs;
  for (auto& world : worlds) { jobs.push_back(world.job()); }
  attention.prefill(std::span<prefill_job<Element> const>(jobs));
  for (auto& world : worlds) {
    auto const together = world.out();
    std::vector<prefill_job<Element>> const alone{world.job()};
    attention.prefill(std::span<prefill_job<Element> const>(alone));
    require(together == world.out(), "prefill " + name_of(world.shape()) + ": other bits in a batch than alone");
  }
}

/// Decode attends to each token of both parts once, from first_position on, in heads of different lengths.
template <class Element, class Attention>
void decode_law(Attention& attention, decode_case const& shape, double tolerance) {
  decode_world<Element> world(shape);
  auto const job = world.job();
  std::vector<decode_job<Element>> const jobs{job};
  attention.decode(std::span<decode_job<Element> const>(jobs));
  for (int h = 0; h < shape.heads; ++h) {
    auto const expected = world.expected(h);
    detail::require_row(expected, &job.out(h, 0), tolerance, "decode " + name_of(shape) + ", head " + std::to_string(h));
  }
}

/// A ragged batch gives each job the very bits that it gets alone.
template <class Element, class Attention>
void decode_batch_law(Attention& attention, std::vector<decode_case> const& shapes) {
  std::vector<decode_world<Element>> worlds;
  for (auto const& shape : shapes) { worlds.emplace_back(shape); }
  std::vector<decode_job<Element>> jobs;
  for (auto& world : worlds) { jobs.push_back(world.job()); }
  attention.decode(std::span<decode_job<Element> const>(jobs));
  for (auto& world : worlds) {
    auto const together = world.out();
    std::vector<decode_job<Element>> const alone{world.job()};
    attention.decode(std::span<decode_job<Element> const>(alone));
    require(together == world.out(), "decode " + name_of(world.shape()) + ": other bits in a batch than alone");
  }
}

/// All of the above over the method's range of shapes: GQA 1, 2, 4, 8, head_dim 8 to 128, 1 to 300 rows against up to 2,000 keys.
template <class Element, class Attention>
void attention_laws(Attention& attention, double tolerance) {
  for (auto const& shape : prefill_cases()) { prefill_law<Element>(attention, shape, tolerance); }
  for (auto const& shape : drawn_prefill_cases()) { prefill_law<Element>(attention, shape, tolerance); }
  for (auto const& shape : decode_cases()) { decode_law<Element>(attention, shape, tolerance); }
  for (auto const& shape : drawn_decode_cases()) { decode_law<Element>(attention, shape, tolerance); }
  prefill_batch_law<Element>(attention, ragged_prefill_cases());
  decode_batch_law<Element>(attention, ragged_decode_cases());
}

}  // namespace loopserve::testing
