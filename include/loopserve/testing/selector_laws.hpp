// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <loopserve/attention/dense.hpp>
#include <loopserve/attention/line_sparse.hpp>
#include <loopserve/prefill/prefill_selector.hpp>
#include <loopserve/testing/backend_memory.hpp>
#include <loopserve/testing/host_kv.hpp>
#include <loopserve/testing/law.hpp>
#include <loopserve/testing/plan_memory.hpp>

namespace loopserve::testing {

/// Queries of a chunk's rows and the keys and values they see, random.
template <class Element>
struct chunk_case {
  chunk_case(int rows, int keys, int heads, int kv_heads, int head_dim, std::uint64_t seed)
      : kv(keys, kv_heads, head_dim), q(normal_floats({seed, 3}, index_t{rows} * heads * head_dim, 2.0)), view(q.data(), {rows, heads, head_dim}) {
    kv.fill(seed);
  }
  host_kv<Element> kv;
  std::vector<float> q;
  tensor_view<float const, 3> view;
};

/// A chunk in the backend's memory, as a selector and attention are given it.
template <class Backend, class Element>
struct uploaded_chunk {
  uploaded_chunk(Backend& b, chunk_case<Element>& c)
      : queries(uploaded(b, c.q)), keys(b, c.kv.view()), q(queries.data() + (c.view.data() - c.q.data()), c.view.extents()), kv(keys.view()) {}

  typename Backend::template buffer<float> queries;
  uploaded_kv<Backend, Element> keys;
  tensor_view<float const, 3> q;
  kv_view<Element> kv;
};

/// A plan for the chunk, as the engine asks for it, in the backend's memory.
template <class Selector, class Element>
line_plan<typename Selector::backend_type> plan_of(typename Selector::backend_type& b, Selector& selector,
                                                   uploaded_chunk<typename Selector::backend_type, Element> const& c, prefill_site site) {
  line_plan<typename Selector::backend_type> plan(b);
  plan.reset(static_cast<int>(c.q.extent(1)), static_cast<int>(c.q.extent(0)), c.kv.length());
  selector.select(site, c.q, c.kv, plan.view());
  return plan;
}

/// A head's lines as vectors.
inline std::vector<int> lines_of(line_plan_view plan, int head, bool slashes) {
  int const* const list = (slashes ? plan.slashes : plan.verticals) + head * plan.stride;
  return {list, list + (slashes ? plan.slash_counts : plan.vertical_counts)[head]};
}

/// Lists ascend and lie inside (so no key beyond the causal limit), and every row keeps its own token.
inline void require_sound_plan(line_plan_view plan, std::string const& law) {
  for (int h = 0; h < plan.heads; ++h) {
    if (plan.dense[h] != 0) { continue; }
    for (bool slashes : {false, true}) {
      auto const lines = lines_of(plan, h, slashes);
      for (std::size_t i = 0; i < lines.size(); ++i) {
        require(lines[i] >= 0 && lines[i] < plan.keys && (i == 0 || lines[i - 1] < lines[i]), law + ": a list must ascend and lie inside the keys");
      }
    }
    auto const verticals = lines_of(plan, h, false), slashes = lines_of(plan, h, true);
    bool const diagonal = !slashes.empty() && slashes.front() == 0;
    for (int p = plan.keys - plan.rows; p < plan.keys; ++p) {
      require(diagonal || std::binary_search(verticals.begin(), verticals.end(), p), law + ": every row keeps its own token");
    }
  }
}

/// Plans are sound, and a function of site, queries and keys: not of what was selected before, nor of another object.
template <class Selector, class Element>
void law_plans_are_sound(typename Selector::backend_type& b, typename Selector::options o = {}) {
  Selector selector(b, o), other(b, o);
  for (auto [rows, keys] : {std::pair{1, 1}, {1, 100}, {33, 33}, {70, 200}, {130, 1100}}) {
    chunk_case<Element> c(rows, keys, 4, 2, 16, static_cast<std::uint64_t>(keys));
    uploaded_chunk<typename Selector::backend_type, Element> const chunk(b, c);
    prefill_site const site{1, 2, 3, 4};
    downloaded_plan const made(b, plan_of(b, selector, chunk, site).view());
    auto const& first = made.view();
    require_sound_plan(first, "a plan");
    for (auto* const by : {&selector, &other}) {
      downloaded_plan const again(b, plan_of(b, *by, chunk, site).view());
      auto const& same = again.view();
      for (int h = 0; h < 4; ++h) {
        require(first.dense[h] == same.dense[h], "the same site gives the same plan");
        if (first.dense[h] != 0) { continue; }
        require(lines_of(first, h, false) == lines_of(same, h, false) && lines_of(first, h, true) == lines_of(same, h, true), "the same site gives the same plan");
      }
    }
  }
}

namespace detail {

/// `plan` lies in the backend's memory; null: dense.
template <class Backend, class Element>
std::vector<float> attended(Backend& b, uploaded_chunk<Backend, Element> const& c, line_plan_view const* plan) {
  auto out = uploaded(b, std::vector<float>(static_cast<std::size_t>(c.q.size()), -7.0F));
  prefill_job<Element> const job{c.q, c.kv, plan, 0, tensor_view<float, 3>(out.data(), c.q.extents())};
  std::span<prefill_job<Element> const> const jobs(&job, 1);
  if (plan != nullptr) {
    attend_lines(b, jobs);
  } else {
    attend_dense(b, jobs);
  }
  return downloaded(b, out.data(), out.size());
}

inline void require_same(float const* found, float const* expected, std::size_t count, double tolerance, std::string const& law) {
  for (std::size_t i = 0; i < count; ++i) { require_near(found[i], expected[i], tolerance, law); }
}

}  // namespace detail

/// `o` keeps everything: attention on the plan is dense attention, and a second turn's rows come out as in one prefill of both turns. Attention that rounds
/// queries and weights to 16 bits needs a `tolerance` of that.
template <class Selector, class Element>
void law_everything_is_dense(typename Selector::backend_type& b, typename Selector::options o, double tolerance = 2e-5) {
  Selector selector(b, o);
  chunk_case<Element> whole(150, 150, 4, 2, 32, 7);
  uploaded_chunk<typename Selector::backend_type, Element> const chunk(b, whole);
  auto const dense = detail::attended(b, chunk, nullptr);
  auto plan = plan_of(b, selector, chunk, {});
  auto const view = plan.view();
  require(union_cells(downloaded_plan(b, view).view(), 0) == causal_cells(150, 150), "these options must keep everything");
  auto const sparse = detail::attended(b, chunk, &view);
  detail::require_same(sparse.data(), dense.data(), dense.size(), tolerance, "a plan that keeps everything is dense attention");
  // The second turn: rows 110 .. 149 over all keys.
  whole.view = whole.view.rows(110, 40);
  uploaded_chunk<typename Selector::backend_type, Element> const second(b, whole);
  auto plan2 = plan_of(b, selector, second, {0, 1, 0, 0});
  auto const view2 = plan2.view();
  auto const turn2 = detail::attended(b, second, &view2);
  std::size_t const row = 4 * 32;
  detail::require_same(turn2.data(), dense.data() + 110 * row, 40 * row, tolerance, "turn 2 under it is a one-shot prefill of both");
}

/// For a selector that declares `covering` and tells settings().alpha and sampled(site, head, rows): every head's lines hold alpha of the attention on the
/// sampled rows, and the plan says how much. `o` must not fall back to dense everywhere, or nothing is tested.
template <class Selector, class Element>
void law_covers_alpha(typename Selector::backend_type& b, typename Selector::options o, double tolerance = 1e-5) {
  Selector selector(b, o);
  int sparse = 0;
  for (auto [rows, keys] : {std::pair{40, 40}, {200, 200}, {90, 700}}) {
    chunk_case<Element> c(rows, keys, 4, 2, 16, static_cast<std::uint64_t>(rows));
    auto const kv = c.kv.view();
    prefill_site const site{0, 1, 2, 3};
    downloaded_plan const made(b, plan_of(b, selector, uploaded_chunk<typename Selector::backend_type, Element>(b, c), site).view());
    auto const plan = made.view();
    for (int h = 0; h < plan.heads; ++h) {
      if (plan.dense[h] != 0) { continue; }
      ++sparse;
      auto const verticals = lines_of(plan, h, false), slashes = lines_of(plan, h, true);
      double covered = 0;
      auto const sampled = selector.sampled(site, h, rows);
      for (int i : sampled) {
        int const p = keys - rows + i;
        std::vector<double> score;
        double top = -1e300, all = 0, kept = 0;
        for (int k = 0; k <= p; ++k) {
          double dot = 0;
          for (int d = 0; d < kv.head_dim; ++d) { dot += static_cast<double>(c.view(i, h, d)) * static_cast<double>(static_cast<float>(kv.key(k, h / 2)[d])); }
          score.push_back(dot / std::sqrt(static_cast<double>(kv.head_dim)));
          top = std::max(top, score.back());
        }
        for (int k = 0; k <= p; ++k) {
          double const weight = std::exp(score[static_cast<std::size_t>(k)] - top);
          all += weight;
          if (std::binary_search(verticals.begin(), verticals.end(), k) || std::binary_search(slashes.begin(), slashes.end(), p - k)) { kept += weight; }
        }
        covered += kept / all / static_cast<double>(sampled.size());
      }
      require(covered >= selector.settings().alpha - tolerance, "the lines of every head cover alpha: " + std::to_string(covered));
      require_near(plan.covered[h], covered, tolerance, "the plan says what its lines cover");
    }
  }
  require(sparse > 0, "the options given make every head dense, so that nothing was tested");
}

/// Every law of a selector. `o`: ordinary options, sparse on a few hundred keys; `everything`: options that keep every cell, by attention as near as `tolerance`.
template <class Selector, class Element>
void selector_laws(typename Selector::backend_type& b, typename Selector::options o, typename Selector::options everything, double tolerance = 2e-5) {
  law_plans_are_sound<Selector, Element>(b, o);
  law_everything_is_dense<Selector, Element>(b, everything, tolerance);
  if constexpr (requires { Selector::covering; }) { law_covers_alpha<Selector, Element>(b, o); }
}

}  // namespace loopserve::testing
