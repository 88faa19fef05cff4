// SPDX-License-Identifier: Apache-2.0
/// The choice of kept rows for many layers and conversations at once: key_mass, force_ends, top_k and gather_rows as jobs that share their launches.
#include <limits>
#include <memory>

#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/each_job.cuh>
#include <loopserve/ops/gather.cuh>
#include <loopserve/ops/key_mass.cuh>
#include <loopserve/ops/top_k.cuh>

#include "kv_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// One layer of one conversation.
struct layer {
  int tokens, queries, kv_heads, group, head_dim, page_shift, budget;
  key_mass_options how = {};
  int sinks = 2, recent = 0;
};

key_mass_options largest() {
  key_mass_options o;
  o.reduce = head_reduce::max;
  return o;
}
key_mass_options tail_pooled_weighed() {
  key_mass_options o = largest();
  o.tail = o.value_norm = true;
  o.pool = 3;
  return o;
}

/// Contexts of other lengths than each other's, none and one of several tiles among them; other shapes; every option; budgets of nothing and of all.
std::vector<layer> const ragged = {{300, 3, 2, 2, 16, 4, 40},
                                   {1, 2, 2, 2, 16, 30, 1},
                                   {softmax_parts_kernel::tile + 300, 2, 1, 2, 8, 30, 70, {}, 4, 9},
                                   {0, 2, 2, 2, 16, 30, 5},
                                   {131, 0, 2, 2, 16, 5, 20},
                                   {150, 4, 3, 2, 24, 4, 31, tail_pooled_weighed()},
                                   {90, 4, 2, 2, 16, 30, 0},
                                   {77, 5, 2, 1, 40, 3, 77, largest(), 0, 3},
                                   {300, 3, 2, 2, 16, 4, 40}};

/// Everything that a layer's choice reads and writes, in the device's memory.
template <class B, class Element>
struct placed_layer {
  placed_layer(B const& b, layer const& l, std::uint64_t seed)
      : shape(l),
        host(std::max(l.tokens, 1), l.kv_heads, l.head_dim),
        kv(b, host.fill(seed, 2), l.page_shift),
        q(on_device(b, numbers(index_t{2} * l.queries * l.kv_heads * l.group * l.head_dim, seed, 2))),
        scores(on_device(b, std::vector<float>(size(l.tokens), -1.0F))),
        rows(on_device(b, std::vector<int>(size(std::max(l.budget, 1)), -3))),
        held(on_device(b, std::vector<int>(size(1), -9))),
        counts(on_device(b, std::vector<int>(size(2), 0))),
        keys(on_device(b, std::vector<Element>(size(2 * l.budget * l.head_dim)))),
        slots(on_device(b, std::vector<int>(size(3 * l.budget), -5))) {}

  std::size_t size(int per_head) const { return static_cast<std::size_t>(shape.kv_heads * per_head); }
  kept_rows_view kept() { return {shape.kv_heads, std::max(shape.budget, 1), rows.data(), held.data()}; }

  /// By the first or the second half of the queries.
  template <class Queue>
  void choose(Queue const& queue, int half) {
    auto const heads = index_t{shape.kv_heads} * shape.group;
    auto view = kv.view();
    view.tokens = shape.tokens;
    tensor_view<float, 2> const mass(scores.data(), {shape.kv_heads, shape.tokens});
    key_mass(queue, tensor_view<float const, 3>(q.data() + half * shape.queries * heads * shape.head_dim, {shape.queries, heads, shape.head_dim}), view,
             shape.how, mass);
    force_ends(queue, mass, shape.sinks, shape.recent);
    top_k(queue, mass, shape.budget, -std::numeric_limits<float>::infinity(), kept());
    int* const of = slots.data();
    index_t const part = index_t{shape.kv_heads} * shape.budget;
    gather_rows(queue, view, kept(),
                gathered_rows_view<Element>{shape.budget, keys.data(), keys.data() + part * shape.head_dim, of, of + part, of + 2 * part, counts.data(),
                                            counts.data() + shape.kv_heads});
  }

  /// Everything that was written, byte by byte.
  std::vector<unsigned char> written(B const& b) const {
    std::vector<unsigned char> all;
    auto const add = [&](auto const& buffer) {
      auto const values = on_host(b, buffer);
      auto const* const bytes = reinterpret_cast<unsigned char const*>(values.data());
      all.insert(all.end(), bytes, bytes + buffer.bytes());
    };
    add(scores), add(rows), add(held), add(counts), add(keys), add(slots);
    return all;
  }

  layer shape;
  testing::host_kv<Element> host;
  kv_on_device<Element, B> kv;
  typename B::template buffer<float> q, scores;
  typename B::template buffer<int> rows, held, counts;
  typename B::template buffer<Element> keys;
  typename B::template buffer<int> slots;
};

template <class Element>
void same_as_one_by_one(std::vector<layer> const& layers, index_t scratch_bytes, int schedules) {
  each_device(
      [&](auto const& b) {
        using placed = placed_layer<std::remove_cvref_t<decltype(b)>, Element>;
        std::vector<std::unique_ptr<placed>> alone, together;
        for (std::size_t i = 0; i < layers.size(); ++i) {
          for (auto* list : {&alone, &together}) { list->push_back(std::make_unique<placed>(b, layers[i], 20 + i)); }
        }
        for (int const half : {0, 1}) {
          for (auto& l : alone) { l->choose(b, half); }
          each_job(
              b, std::span(together), [&](auto const& queue, auto& l) { l->choose(queue, half); }, scratch_bytes);
          for (std::size_t i = 0; i < layers.size(); ++i) {
            CAPTURE(i);
            CAPTURE(half);
            CHECK(together[i]->written(b) == alone[i]->written(b));
          }
        }
      },
      schedules);
}

}  // namespace

TEST_CASE("layers and conversations of all shapes choose and gather together what each does alone, to the bit") {
  same_as_one_by_one<bf16>(ragged, batch_scratch_bytes, 0);
  same_as_one_by_one<float>(ragged, batch_scratch_bytes, 1);
}

TEST_CASE("whatever the scratch that a batch may hold") {
  same_as_one_by_one<f16>(ragged, 0, 1);
  same_as_one_by_one<f16>(ragged, 20000, 1);
}

TEST_CASE("no layer and one layer") {
  same_as_one_by_one<bf16>({}, batch_scratch_bytes, 1);
  same_as_one_by_one<bf16>({ragged[0]}, batch_scratch_bytes, 1);
}
