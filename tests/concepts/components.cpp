// SPDX-License-Identifier: Apache-2.0
/// The components of selection and KV policy: which concepts they model, and what a component of one's own must not lack.
#include <doctest/doctest.h>

#include <loopserve/loopserve.hpp>

namespace ls = loopserve;

TEST_CASE("concepts are decided when this file is compiled") {}

template <class Backend>
constexpr bool policies_are_models =
    ls::kv_policy<ls::progressive<Backend>> && !ls::recalling_policy<ls::progressive<Backend>> && ls::recalling_policy<ls::with_recall<ls::progressive<Backend>>> &&
    ls::recalling_policy<ls::with_recall<ls::sink_window<Backend>>> && !ls::prefill_selector<ls::progressive<Backend>>;
static_assert(policies_are_models<ls::reference> && policies_are_models<ls::cpu>);

template <class Backend>
constexpr bool selectors_are_models = ls::prefill_selector<ls::online_vertical_slash<Backend>> && ls::prefill_selector<ls::any_selector<Backend>> &&
                                      !ls::kv_policy<ls::online_vertical_slash<Backend>>;
static_assert(selectors_are_models<ls::reference> && selectors_are_models<ls::cpu>);

template <class Element>
constexpr bool storages_are_models = ls::cache_storage<ls::contiguous<ls::cpu, Element>> && ls::cache_storage<ls::paged<ls::cpu, Element>>;
static_assert(storages_are_models<float> && storages_are_models<ls::bf16> && storages_are_models<ls::f16>);

// A policy that chooses by the query and not by the context.
struct choose_without_context : ls::sink_window<ls::reference> {
  using ls::sink_window<ls::reference>::sink_window;
  void choose(int, ls::kept_rows<ls::reference>&) {}
  choose_without_context fork() const { return *this; }
};
static_assert(!ls::kv_policy<choose_without_context>);

// A budget in bare tokens cannot say "a share of the context".
struct budget_is_int : ls::sink_window<ls::reference> {
  using ls::sink_window<ls::reference>::sink_window;
  int budget() const { return 1; }
  budget_is_int fork() const { return *this; }
};
static_assert(!ls::kv_policy<budget_is_int>);

// A selector that wants to change the queries.
struct writes_queries : ls::dense_prefill<ls::reference> {
  using ls::dense_prefill<ls::reference>::dense_prefill;
  void select(ls::prefill_site, ls::tensor_view<float, 3>, ls::kv_view<float>, ls::line_plan_view) {}
};
static_assert(!ls::prefill_selector<writes_queries>);

// A storage whose view is of another element type than it says.
struct views_other_type : ls::contiguous<ls::reference, float> {
  using ls::contiguous<ls::reference, float>::contiguous;
  ls::kv_view<ls::bf16> view(ls::sequence_id, int) const { return {}; }
};
static_assert(!ls::cache_storage<views_other_type>);
