// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include <loopserve/kv/progressive.hpp>
#include <loopserve/kv/with_recall.hpp>
#include <loopserve/kv/working_set.hpp>
#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/each_job.cuh>
#include <loopserve/ops/gather.cuh>
#include <loopserve/ops/key_mass.cuh>
#include <loopserve/ops/key_sketch.cuh>
#include <loopserve/ops/top_k.cuh>

#include "kv_on_device.hpp"

namespace loopserve::device_test {

inline constexpr int layers = 2, heads = 4, kv_heads = 2, head_dim = 32;

/// One conversation: its policy, and for each layer the context, what is kept of it and the gathered rows.
template <class Policy>
struct talk {
  using backend_type = typename Policy::backend_type;

  talk(backend_type& b, typename Policy::options const& o, int tokens, std::uint64_t seed) : backend(&b), policy(b, o) {
    for (int l = 0; l < layers; ++l) {
      auto& host = hosts.emplace_back(std::make_unique<testing::host_kv<bf16>>(tokens - l, kv_heads, head_dim));  // as where a layer has a window
      contexts.emplace_back(b, host->fill(seed + static_cast<std::uint64_t>(l), 2), 4);
      keep.emplace_back(b);
      held.emplace_back(b);
      queries.push_back(on_device(b, numbers(24 * heads * head_dim, seed + 50 + static_cast<std::uint64_t>(l), 2)));
      policy.begin_turn(l, rows(l, 16, 8), contexts.back().view());
    }
  }

  tensor_view<float const, 3> rows(int l, int first, int count) { return {queries[at(l)].data() + first * heads * head_dim, {count, heads, head_dim}}; }
  static std::size_t at(int l) { return static_cast<std::size_t>(l); }

  template <class Queue>
  void choose(Queue& queue, int l) {
    choose(queue, l, keep[at(l)], held[at(l)]);
  }
  template <class Queue>
  void choose(Queue& queue, int l, kept_rows<backend_type>& into, working_set<backend_type>& rows_of) {
    policy.choose_on(queue, l, contexts[at(l)].view(), into);
    if (!into.all()) { rows_of.assign(queue, contexts[at(l)].view(), into.view()); }
  }
  void hear(int l, int token) {
    policy.observe(l, rows(l, token, 1)[0]);
    if constexpr (recalling_policy<Policy>) { policy.recall(l, rows(l, token, 1)[0], contexts[at(l)].view(), keep[at(l)]); }
  }

  /// The lists of both layers, and the gathered keys.
  std::vector<int> kept() {
    std::vector<int> all;
    for (int l = 0; l < layers; ++l) {
      if (keep[at(l)].all()) { continue; }
      auto const list = keep[at(l)].view();
      std::vector<int> counts(kv_heads), rows_of(static_cast<std::size_t>(kv_heads * list.stride));
      backend->copy_to_host(counts.data(), list.counts, kv_heads * static_cast<index_t>(sizeof(int)));
      backend->copy_to_host(rows_of.data(), list.rows, kv_heads * list.stride * static_cast<index_t>(sizeof(int)));
      for (int h = 0; h < kv_heads; ++h) {
        all.push_back(counts[at(h)]);
        auto const first = rows_of.begin() + h * list.stride;
        all.insert(all.end(), first, first + counts[at(h)]);
      }
      all.push_back(static_cast<int>(held[at(l)].rows_copied()));
    }
    return all;
  }

  backend_type* backend;
  Policy policy;
  std::vector<std::unique_ptr<testing::host_kv<bf16>>> hosts;
  std::vector<kv_on_device<bf16, backend_type>> contexts;
  std::vector<kept_rows<backend_type>> keep;
  std::vector<working_set<backend_type>> held;
  std::vector<typename backend_type::template buffer<float>> queries;
};

template <class B>
using recalling = with_recall<progressive<B>>;

}  // namespace loopserve::device_test
