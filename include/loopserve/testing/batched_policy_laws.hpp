// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/ops/each_job.hpp>
#include <loopserve/testing/policy_run.hpp>

/// The laws of batched_policy, beside those of kv_policy.
namespace loopserve::testing {

/// A conversation's layer that waits for a choice.
template <class Run>
struct due_choice {
  Run* of;
  int layer;
};

/// What is due in these conversations, layer by layer.
template <class Run>
std::vector<due_choice<Run>> due_choices(std::vector<Run*> const& runs) {
  std::vector<due_choice<Run>> due;
  for (auto* run : runs) {
    for (int l = 0; l < run->shape().layers; ++l) {
      if (run->policy().due(l)) { due.push_back({run, l}); }
    }
  }
  return due;
}

/// A token's layers after its choices: what is attended to in each.
template <class Policy, class Run>
std::vector<kept_lists> attended_after_choices(typename Policy::backend_type& b, Run& run, int token, std::uint64_t stream) {
  auto const c = run.shape();
  std::vector<kept_lists> kept;
  for (int l = 0; l < c.layers; ++l) {
    auto const query = uploaded(b, run.queries(l, token, 1, stream));
    tensor_view<float const, 2> const q(query.data(), {c.heads, c.head_dim});
    auto& keep = run.keep(l);
    run.policy().observe(l, q);
    if constexpr (recalling_policy<Policy>) { run.policy().recall(l, q, run.kv(l), keep); }
    kept.push_back(lists_of(b, keep));
  }
  return kept;
}

/// Choices for several layers of several conversations at once are those that choose() makes one after the other, and stay within the budget.
template <class Policy, class Element>
void law_choices_at_once(typename Policy::backend_type& b, typename Policy::options o) {
  using run_type = policy_run<Policy, Element>;
  std::vector<policy_case> const cases = {{.context = 200, .seed = 3}, {.layers = 3, .context = 131, .seed = 4}, {.context = 20, .seed = 5}, {.layers = 1, .context = 257, .seed = 6}};
  std::vector<run_type> alone, together;
  std::vector<run_type*> every;
  for (auto const& c : cases) {
    for (auto* list : {&alone, &together}) { list->emplace_back(b, Policy(b, o), c); }
  }
  for (auto& run : together) { every.push_back(&run); }
  // The third conversation begins while the others answer.
  auto const begins = [](std::size_t i) { return i == 2 ? 7 : 0; };
  for (int t = 0; t < 50; ++t) {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      if (t == begins(i)) { alone[i].begin(5 + i), together[i].begin(5 + i); }
    }
    std::vector<run_type*> under_way;
    for (std::size_t i = 0; i < cases.size(); ++i) {
      if (t >= begins(i)) { under_way.push_back(every[i]); }
    }
    auto const due = due_choices(under_way);
    each_job(b, std::span(due), [](auto& queue, due_choice<run_type> const& d) {
      d.of->policy().choose_on(queue, d.layer, d.of->kv(d.layer), d.of->keep(d.layer));
    });
    if constexpr (overlapping_policy<Policy>) {
      for (auto const& d : due) { d.of->policy().adopt(d.layer); }
    }
    for (std::size_t i = 0; i < cases.size(); ++i) {
      if (t < begins(i)) { continue; }
      for (auto const& d : due_choices(std::vector<run_type*>{&alone[i]})) { alone[i].policy().choose(d.layer, alone[i].kv(d.layer), alone[i].keep(d.layer)); }
      auto const kept = attended_after_choices<Policy>(b, together[i], t, 8 + i);
      require(kept == attended_after_choices<Policy>(b, alone[i], t, 8 + i), "choices that are made at once are those that are made one after the other");
      int const budget = together[i].policy().budget().at(cases[i].context);
      for (auto const& layer : kept) {
        for (std::size_t h = 0; layer && h < layer->size(); ++h) { require(static_cast<int>((*layer)[h].size()) <= budget, "a kept list is never longer than the budget"); }
      }
    }
  }
}

/// overlapping_policy: a step attends to what it would if nothing were chosen beside it.
template <class Policy, class Element>
void law_a_step_sees_no_choice_beside_it(typename Policy::backend_type& b, typename Policy::options o) {
  using run_type = policy_run<Policy, Element>;
  run_type run(b, Policy(b, o), {.seed = 3}), undisturbed(b, Policy(b, o), {.seed = 3});
  std::vector<kept_rows<typename Policy::backend_type>> next;
  for (int l = 0; l < run.shape().layers; ++l) { next.emplace_back(b); }
  run.begin();
  undisturbed.begin();
  for (int t = 0; t < 50; ++t) {
    bool const first = run.keep(0).all();  // choices that are adopted at once
    auto const due = due_choices(std::vector<run_type*>{&run});
    for (auto const& d : due) {
      auto& keep = first ? run.keep(d.layer) : next[static_cast<std::size_t>(d.layer)];
      run.policy().choose_on(b, d.layer, run.kv(d.layer), keep);
      if (!first) { continue; }
      run.policy().adopt(d.layer);
      undisturbed.policy().choose_on(b, d.layer, undisturbed.kv(d.layer), undisturbed.keep(d.layer));
      undisturbed.policy().adopt(d.layer);
    }
    require(attended_after_choices<Policy>(b, run, t, 8) == attended_after_choices<Policy>(b, undisturbed, t, 8),
            "a step attends to what it would without the choice that is made beside it");
    if (!first && !due.empty()) { return; }
  }
  require(false, "an answer of 50 tokens has a choice after its first");
}

/// Every law of a batched_policy; `o` with a budget of some 20 to 60 tokens.
template <class Policy, class Element>
  requires batched_policy<Policy>
void batched_policy_laws(typename Policy::backend_type& b, typename Policy::options o) {
  law_choices_at_once<Policy, Element>(b, o);
  if constexpr (overlapping_policy<Policy>) {
    if (Policy(b, o).beside()) { law_a_step_sees_no_choice_beside_it<Policy, Element>(b, o); }
  }
}

}  // namespace loopserve::testing
