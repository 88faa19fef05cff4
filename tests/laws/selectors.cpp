// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/prefill/any_selector.hpp>
#include <loopserve/testing/selector_laws.hpp>

namespace ls = loopserve;

namespace {

template <class Backend, class Element>
void all_selectors() {
  Backend b{1};
  using ls::testing::selector_laws;
  CHECK_NOTHROW((selector_laws<ls::dense_prefill<Backend>, Element>(b, {}, {})));
  CHECK_NOTHROW((selector_laws<ls::a_shape<Backend>, Element>(b, {.sinks = 4, .local = 20}, {.sinks = 1, .local = 1000})));
  CHECK_NOTHROW((selector_laws<ls::a_shape<Backend>, Element>(b, {.sinks = 0, .local = 1}, {.sinks = 0, .local = 150})));
  using online = ls::online_vertical_slash<Backend>;
  for (double alpha : {0.8, 0.955, 0.99}) {
    ls::online_vertical_slash_options const o{.alpha = alpha, .local = 8, .fall_back = false}, dense{.alpha = 1};
    CHECK_NOTHROW((selector_laws<online, Element>(b, o, dense)));
  }
  // All slashes: everything, and still a plan of lines.
  CHECK_NOTHROW((selector_laws<online, Element>(b, {.rows = 10, .last_rows = 3, .sinks = 0, .local = 0, .rank = ls::line_rank::mass, .fall_back = false},
                                                {.local = 150, .fall_back = false})));
  ls::any_selector_options any, dense;
  any.online_vertical_slash.fall_back = false;
  any.online_vertical_slash.local = 8;
  dense.name = "dense";
  CHECK_NOTHROW((selector_laws<ls::any_selector<Backend>, Element>(b, any, dense)));
}

}  // namespace

TEST_CASE_TEMPLATE("a selector keeps the laws on reference", Element, float, ls::bf16, ls::f16) { all_selectors<ls::reference, Element>(); }
TEST_CASE_TEMPLATE("a selector keeps the laws on cpu", Element, float, ls::bf16, ls::f16) { all_selectors<ls::cpu, Element>(); }
