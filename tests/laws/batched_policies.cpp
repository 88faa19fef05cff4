// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <utility>

#include <loopserve/kv/any_compressor.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/testing/batched_policy_laws.hpp>

namespace ls = loopserve;

namespace {

template <class Backend, class Element>
void all_policies() {
  Backend b{1};
  using ls::testing::batched_policy_laws;
  using progressive = ls::progressive<Backend>;
  using recalling = ls::with_recall<progressive>;
  CHECK_NOTHROW((batched_policy_laws<progressive, Element>(b, {.budget = 30})));
  CHECK_NOTHROW((batched_policy_laws<progressive, Element>(b, {.budget = ls::kv_budget::of_context(0.2), .interval = 5, .recent = 3, .bootstrap = true})));
  CHECK_NOTHROW((batched_policy_laws<recalling, Element>(b, {.budget = 30})));
  CHECK_NOTHROW((batched_policy_laws<recalling, Element>(b, {.budget = 30, .core_share = 0.25, .bits = 4, .sketch_core = true})));
  CHECK_NOTHROW((batched_policy_laws<progressive, Element>(b, {.budget = 30, .interval = 6, .beside = true})));
  CHECK_NOTHROW((batched_policy_laws<recalling, Element>(b, {.budget = 30, .core = {.interval = 6, .beside = true}})));
  CHECK_NOTHROW((batched_policy_laws<recalling, Element>(b, {.budget = 30, .core = {.interval = 6, .beside = true}, .sketch_core = true})));
  ls::any_compressor_options named;
  named.budget = 30;
  for (auto const* name : {"keep_all", "sink_window", "progressive", "with_recall:progressive", "with_recall:sink_window"}) {
    named.name = name;
    named.beside = false;
    CHECK_NOTHROW((batched_policy_laws<ls::any_compressor<Backend>, Element>(b, named)));
    named.beside = true;
    CHECK_NOTHROW((batched_policy_laws<ls::any_compressor<Backend>, Element>(b, named)));
  }
}

/// Chooses a row less where it is asked for choices at once.
struct chooses_less_at_once : ls::progressive<ls::reference> {
  using base = ls::progressive<ls::reference>;
  using base::base;
  explicit chooses_less_at_once(base other) : base(std::move(other)) {}

  template <class Queue, class Element>
  void choose_on(Queue& queue, int layer, ls::kv_view<Element> kv, ls::kept_rows<ls::reference>& keep) {
    base::choose_on(queue, layer, kv, keep);
    if (!keep.all() && layer == 1) { --keep.view().counts[0]; }
  }
  chooses_less_at_once fork() const { return chooses_less_at_once(base::fork()); }
};

/// Says that it chooses beside a step, and lets the step see the new choice.
struct shows_at_once : ls::with_recall<ls::progressive<ls::reference>> {
  using base = ls::with_recall<ls::progressive<ls::reference>>;
  using base::base;
  explicit shows_at_once(base other) : base(std::move(other)) {}

  template <class Queue, class Element>
  void choose_on(Queue& queue, int layer, ls::kv_view<Element> kv, ls::kept_rows<ls::reference>& keep) {
    base::choose_on(queue, layer, kv, keep);
    base::adopt(layer);
  }
  void adopt(int) {}
  shows_at_once fork() const { return shows_at_once(base::fork()); }
};

}  // namespace

TEST_CASE_TEMPLATE("what a policy chooses for many layers and conversations at once is what it chooses for each, on reference", Element, float, ls::f16) {
  all_policies<ls::reference, Element>();
}
TEST_CASE_TEMPLATE("what a policy chooses for many layers and conversations at once is what it chooses for each, on cpu", Element, ls::f16, ls::bf16) {
  all_policies<ls::cpu, Element>();
}

TEST_CASE("a policy that chooses otherwise at once breaks the law") {
  ls::reference b{1};
  CHECK_THROWS_AS((ls::testing::batched_policy_laws<chooses_less_at_once, float>(b, {.budget = 30})), ls::testing::law_broken);
}

TEST_CASE("a policy that lets a step see what is chosen beside it breaks the law") {
  ls::reference b{1};
  CHECK_THROWS_AS((ls::testing::batched_policy_laws<shows_at_once, float>(b, {.budget = 30, .core = {.interval = 6, .beside = true}})), ls::testing::law_broken);
}

static_assert(!ls::batched_policy<ls::sink_window<ls::cpu>> && !ls::batched_policy<ls::with_recall<ls::sink_window<ls::cpu>>>);
static_assert(ls::batched_policy<ls::with_recall<ls::progressive<ls::cpu>>> && ls::batched_policy<ls::any_compressor<ls::cpu>>);
