// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <loopserve/prefill/prefill_selector.hpp>

namespace demo {

/// The lines that one query head attends to.
struct recorded_head {
  bool dense = false;
  double covered = 0;
  double area = 0;  ///< cells / causal cells
  std::vector<int> verticals;
  std::vector<int> slashes;
};

/// A copy of one chunk's plan of one layer: `rows` new tokens against `keys` tokens in all.
struct recorded_plan {
  int layer = 0;
  int turn = 0;
  int rows = 0;
  int keys = 0;
  std::vector<recorded_head> heads;
};

inline recorded_plan copy_of(loopserve::prefill_site const& site, loopserve::line_plan_view plan) {
  recorded_plan copy{site.layer, site.turn, plan.rows, plan.keys, {}};
  for (int h = 0; h < plan.heads; ++h) {
    auto const* const v = plan.verticals + h * plan.stride;
    auto const* const s = plan.slashes + h * plan.stride;
    auto const cells = static_cast<double>(loopserve::union_cells(plan, h));
    copy.heads.push_back({plan.dense[h] != 0, plan.covered[h], cells / static_cast<double>(loopserve::causal_cells(plan.rows, plan.keys)),
                          {v, v + plan.vertical_counts[h]}, {s, s + plan.slash_counts[h]}});
  }
  return copy;
}

/// A prefill selector around another one, which keeps the last plan of each layer: how a program of its own adds to what a policy does.
template <loopserve::prefill_selector Inner>
class recording {
 public:
  using backend_type = typename Inner::backend_type;
  struct options {
    typename Inner::options inner = {};
    std::shared_ptr<std::vector<recorded_plan>> book = {};  ///< by layer; nothing is kept without one
  };

  explicit recording(backend_type& backend, options o = {}) : inner_(backend, std::move(o.inner)), book_(std::move(o.book)) {}

  static loopserve::index_t planned_bytes(options const& o, int heads, int rows, int keys, int threads) {
    return Inner::planned_bytes(o.inner, heads, rows, keys, threads);
  }

  template <class Element>
  void select(loopserve::prefill_site site, loopserve::tensor_view<float const, 3> q, loopserve::kv_view<Element> kv, loopserve::line_plan_view plan) {
    inner_.select(site, q, kv, plan);
    if (!book_) { return; }
    auto const layer = static_cast<std::size_t>(site.layer);
    if (book_->size() <= layer) { book_->resize(layer + 1); }
    (*book_)[layer] = copy_of(site, plan);
  }

 private:
  Inner inner_;
  std::shared_ptr<std::vector<recorded_plan>> book_;
};

}  // namespace demo
