// SPDX-License-Identifier: Apache-2.0
/// KV policies on a device whose choices for all layers of several conversations are made at once.
#include <memory>
#include <span>
#include <type_traits>
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

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

constexpr int layers = 2, heads = 4, kv_heads = 2, head_dim = 32;

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
    policy.choose_on(queue, l, contexts[at(l)].view(), keep[at(l)]);
    if (!keep[at(l)].all()) { held[at(l)].assign(queue, contexts[at(l)].view(), keep[at(l)].view()); }
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

template <template <class> class Policy, class Options>
void at_once_is_one_by_one(Options const& o, int expected) {
  each_device(
      [&](auto const& device) {
        auto b = device;
        using policy = Policy<std::remove_const_t<decltype(b)>>;
        using conversation = talk<policy>;
        struct due_layer {
          conversation* of;
          int layer;
        };
        std::vector<std::unique_ptr<conversation>> alone, together;
        for (int const tokens : {230, 20, 131}) {
          for (auto* list : {&alone, &together}) { list->push_back(std::make_unique<conversation>(b, o, tokens, static_cast<std::uint64_t>(tokens))); }
        }
        int choices = 0;
        for (int token = 0; token < 10; ++token) {
          std::vector<due_layer> due;
          for (std::size_t i = 0; i < alone.size(); ++i) {
            for (int l = 0; l < layers; ++l) {
              if (alone[i]->policy.due(l)) { alone[i]->choose(b, l); }
              if (together[i]->policy.due(l)) { due.push_back({together[i].get(), l}); }
            }
          }
          choices += static_cast<int>(due.size());
          each_job(b, std::span(due), [](auto& queue, due_layer const& d) { d.of->choose(queue, d.layer); });
          for (std::size_t i = 0; i < alone.size(); ++i) {
            for (int l = 0; l < layers; ++l) { alone[i]->hear(l, token), together[i]->hear(l, token); }
            CHECK(together[i]->kept() == alone[i]->kept());
          }
        }
        CHECK(choices == expected);
      },
      2);
}

template <class B>
using recalling = with_recall<progressive<B>>;

}  // namespace

TEST_CASE("progressive chooses for all conversations and layers at once what it chooses for each") {
  progressive_options o;
  o.budget = 25;
  o.interval = 4;
  o.recent = 3;
  // The conversation of 20 tokens fits the budget; the other two have two layers each, due before tokens 4 and 8.
  at_once_is_one_by_one<progressive>(o, 2 * 4);
  o.bootstrap = true;  // and before the first
  at_once_is_one_by_one<progressive>(o, 3 * 4);
}

TEST_CASE("with_recall does, by full keys and by its sketch, and its recall finds the core in place") {
  with_recall_settings<progressive_options> o;
  o.budget = 30;
  o.core.interval = 4;
  at_once_is_one_by_one<recalling>(o, 3 * 4);
  o.sketch_core = true;
  at_once_is_one_by_one<recalling>(o, 3 * 4);
}
