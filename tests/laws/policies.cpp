// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/kv/any_compressor.hpp>
#include <loopserve/kv/keep_all.hpp>
#include <loopserve/kv/progressive.hpp>
#include <loopserve/kv/sink_window.hpp>
#include <loopserve/kv/with_recall.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/testing/policy_laws.hpp>

namespace ls = loopserve;

namespace {

template <class Backend, class Element>
void all_policies() {
  Backend b{1};
  using ls::testing::policy_laws;
  using progressive = ls::progressive<Backend>;
  using sink_window = ls::sink_window<Backend>;
  CHECK_NOTHROW((policy_laws<ls::keep_all<Backend>, Element>(b, {})));
  CHECK_NOTHROW((policy_laws<sink_window, Element>(b, {.budget = 30})));
  CHECK_NOTHROW((policy_laws<sink_window, Element>(b, {.budget = 2})));
  CHECK_NOTHROW((policy_laws<progressive, Element>(b, {.budget = 30})));
  CHECK_NOTHROW((policy_laws<progressive, Element>(b, {.budget = ls::kv_budget::of_context(0.2), .interval = 5, .recent = 3, .bootstrap = true})));
  CHECK_NOTHROW((policy_laws<progressive, Element>(b, {.budget = 40, .reduce = ls::head_reduce::max, .pool = 3, .value_norm = true})));
  CHECK_NOTHROW((policy_laws<ls::with_recall<progressive>, Element>(b, {.budget = 30})));
  CHECK_NOTHROW((policy_laws<ls::with_recall<progressive>, Element>(b, {.budget = ls::kv_budget::of_context(0.2), .core_share = 0.25, .bits = 4, .sketch_core = true})));
  CHECK_NOTHROW((policy_laws<ls::with_recall<progressive>, Element>(b, {.budget = 40, .bits = 1, .mass = 0.1F})));
  CHECK_NOTHROW((policy_laws<ls::with_recall<sink_window>, Element>(b, {.budget = 30})));
}

}  // namespace

TEST_CASE("a KV policy by name keeps the laws, and no other name is one") {
  using any = ls::any_compressor<ls::cpu>;
  ls::cpu b{1};
  ls::any_compressor_options o;
  o.budget = 30;
  for (auto const* name : {"keep_all", "sink_window", "progressive", "with_recall:progressive", "with_recall:sink_window"}) {
    o.name = name;
    CHECK_NOTHROW((ls::testing::policy_laws<any, ls::bf16>(b, o)));
    if (o.name.starts_with("with_recall")) { CHECK_NOTHROW((ls::testing::law_needle_at_once<any, ls::bf16>(b, o))); }
  }
  o.name = "quest";
  CHECK_THROWS_AS(any(b, o), ls::error);
}

TEST_CASE_TEMPLATE("a KV policy keeps the laws on reference", Element, float, ls::f16) { all_policies<ls::reference, Element>(); }
TEST_CASE_TEMPLATE("a KV policy keeps the laws on cpu", Element, ls::f16, ls::bf16) { all_policies<ls::cpu, Element>(); }
