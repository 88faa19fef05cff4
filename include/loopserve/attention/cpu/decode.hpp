// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <loopserve/attention/cpu/decode_tile.hpp>
#include <loopserve/attention/cpu/scratch.hpp>
#include <loopserve/attention/decode.hpp>
#include <loopserve/ops/cpu/cpu.hpp>

namespace loopserve {

namespace detail {

inline constexpr int decode_split = 1024;  ///< keys of a work unit; units are merged in their order, so that few KV heads keep all threads busy

/// A stretch of one part's tokens for one KV head, and where its share of the softmax goes.
struct decode_unit {
  int job;
  int kv_head;
  int part;
  int first;
  int count;
  index_t state;  ///< offset of the unit's state in the call's memory
};

constexpr int padded_to_16(int dim) { return (dim + 15) / 16 * 16; }

/// Floats that a unit's state takes: sums, tops and weights.
constexpr index_t decode_state_floats(int heads, int dim) { return index_t{heads} * (padded_to_16(dim) + decode_keys) + padded_to_16(heads); }

inline decode_state decode_state_at(float* memory, int heads, int dim) {
  int const padded = padded_to_16(dim);
  return {heads, dim, padded, nullptr, memory, memory + index_t{heads} * (padded + decode_keys), memory + index_t{heads} * padded};
}

template <class Element>
void attend_decode_unit(cpu const& b, decode_job<Element> const& job, decode_unit const& unit, float* memory) {
  auto const& kv = job.parts[static_cast<std::size_t>(unit.part)];
  int const group = static_cast<int>(job.q.extent(0)) / kv.kv_heads;
  auto state = decode_state_at(memory + unit.state, group, kv.head_dim);
  std::fill_n(state.sum, decode_state_floats(group, kv.head_dim), 0.0F);
  std::fill_n(state.top, group, -1e30F);
  index_t const padded = state.padded_dim;
  float* const q = thread_scratch<decode_unit>((decode_keys + group) * padded);
  float* const scratch = q + group * padded;
  auto const scale = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(kv.head_dim)));
  for (int g = 0; g < group; ++g) {
    float const* const from = &job.q(unit.kv_head * group + g, 0);
    for (int d = 0; d < padded; ++d) { q[g * padded + d] = d < kv.head_dim ? scale * from[d] : 0; }
  }
  state.q = q;
  auto* const attend = choose(b.isa_level(), baseline::decode_tile<Element>, avx2::decode_tile<Element>, avx512::decode_tile<Element>);
  // Two tiles of pointers: while one is attended to, the other's rows are on their way from memory.
  Element const* rows[2][2 * decode_keys];
  int counts[2] = {0, 0};
  int const end = unit.first + unit.count;
  int at = unit.first;
  auto const find = [&](int which) {
    int n = 0;
    while (at < end && n < decode_keys) {
      if (kv.position(at, unit.kv_head) < job.first_position) {
        ++at;
        continue;
      }
      // Positions need not ascend in a working set: below a window each token is asked for its own.
      int const run = job.first_position > 0 ? 1 : std::min({kv.run(at, unit.kv_head), end - at, decode_keys - n});
      Element const* const key = kv.key(at, unit.kv_head);
      Element const* const value = kv.value(at, unit.kv_head);
      for (int j = 0; j < run; ++j) {
        rows[which][n + j] = key + j * kv.row_stride;
        rows[which][decode_keys + n + j] = value + j * kv.row_stride;
      }
      n += run;
      at += run;
    }
    counts[which] = n;
  };
  find(0);
  for (int now = 0; counts[now] > 0; now = 1 - now) {
    find(1 - now);
    bool const full = counts[1 - now] == decode_keys;
    attend(state, rows[now], rows[now] + decode_keys, counts[now], full ? rows[1 - now] : nullptr, scratch);
  }
}

/// Joins the units of one KV head in their order and writes the heads' results.
template <class Element>
void merge_decode_units(decode_job<Element> const& job, std::span<decode_unit const> units, int group, float* memory) {
  int const dim = static_cast<int>(job.q.extent(1));
  for (int g = 0; g < group; ++g) {
    int const head = units.front().kv_head * group + g;
    float top = -1e30F;
    for (auto const& unit : units) { top = std::max(top, decode_state_at(memory + unit.state, group, dim).top[g]); }
    float* const out = &job.out(head, 0);
    std::fill_n(out, dim, 0.0F);
    float weight = 0;
    for (auto const& unit : units) {
      auto const state = decode_state_at(memory + unit.state, group, dim);
      float const fade = std::exp2(state.top[g] - top);
      float own = 0;
      for (int j = 0; j < decode_keys; ++j) { own += state.weight[g * decode_keys + j]; }
      weight += fade * own;
      for (int d = 0; d < dim; ++d) { out[d] += fade * state.sum[g * state.padded_dim + d]; }
    }
    float const scale = weight == 0 ? 0 : 1 / weight;
    for (int d = 0; d < dim; ++d) { out[d] *= scale; }
  }
}

}  // namespace detail

/// The cpu backend's: keys and values are read once for all query heads of their KV head, in stretches of 1,024 tokens that are merged in order.
/// A job's bits do not depend on the batch nor on the number of threads.
template <class Element>
void attend_decode(cpu const& b, std::span<decode_job<Element> const> jobs) {
  std::vector<detail::decode_unit> units;
  std::vector<std::size_t> starts;  // of the units of each (job, KV head)
  index_t floats = 0;
  for (int j = 0; j < static_cast<int>(jobs.size()); ++j) {
    auto const& job = jobs[static_cast<std::size_t>(j)];
    detail::check_decode_job(job);
    auto const& shape = job.parts[job.parts[0].tokens > 0 ? 0 : 1];
    if (shape.tokens == 0) {
      for (index_t h = 0; h < job.out.extent(0); ++h) { std::fill_n(&job.out(h, 0), job.out.extent(1), 0.0F); }
      continue;
    }
    int const group = static_cast<int>(job.q.extent(0)) / shape.kv_heads;
    for (int h = 0; h < shape.kv_heads; ++h) {
      starts.push_back(units.size());
      for (int p = 0; p < 2; ++p) {
        auto const& part = job.parts[static_cast<std::size_t>(p)];
        int const tokens = part.tokens > 0 ? part.length(h) : 0;
        for (int first = 0; first < tokens; first += detail::decode_split) {
          units.push_back({j, h, p, first, std::min(detail::decode_split, tokens - first), floats});
          floats += detail::decode_state_floats(group, shape.head_dim);
          floats = (floats + 15) / 16 * 16;
        }
      }
      if (starts.back() == units.size()) {  // a head without tokens: an empty unit makes its result zero
        units.push_back({j, h, job.parts[0].tokens > 0 ? 0 : 1, 0, 0, floats});
        floats = (floats + detail::decode_state_floats(group, shape.head_dim) + 15) / 16 * 16;
      }
    }
  }
  starts.push_back(units.size());
  host_buffer<float> memory(floats);
  parallel_for(b.threads(), static_cast<index_t>(units.size()), [&](index_t u) {
    auto const& unit = units[static_cast<std::size_t>(u)];
    detail::attend_decode_unit(b, jobs[static_cast<std::size_t>(unit.job)], unit, memory.data());
  });
  for (std::size_t s = 0; s + 1 < starts.size(); ++s) {
    std::span<detail::decode_unit const> const of(units.data() + starts[s], starts[s + 1] - starts[s]);
    auto const& job = jobs[static_cast<std::size_t>(of.front().job)];
    auto const& shape = job.parts[job.parts[0].tokens > 0 ? 0 : 1];
    detail::merge_decode_units(job, of, static_cast<int>(job.q.extent(0)) / shape.kv_heads, memory.data());
  }
}

}  // namespace loopserve
