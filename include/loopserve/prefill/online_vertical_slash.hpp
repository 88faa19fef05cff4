// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/ops/cover_lines.hpp>
#include <loopserve/ops/lanes.hpp>
#include <loopserve/ops/line_mass.hpp>
#include <loopserve/prefill/prefill_selector.hpp>
#include <loopserve/prefill/sample_rows.hpp>

namespace loopserve {

/// What a line's worth is measured by.
enum class line_rank : std::uint8_t { density, mass };

struct online_vertical_slash_options {
  double alpha = 0.955;               ///< share of the attention mass to cover; 1 and above: dense
  int rows = 64;                      ///< rows that are looked at
  int last_rows = 16;                 ///< of these, the last ones of the chunk
  int sinks = 4;                      ///< verticals that are always taken
  int local = 128;                    ///< slashes that are always taken, the row's own token among them
  line_rank rank = line_rank::density;
  bool fall_back = true;              ///< dense where sparsity cannot pay:
  int fall_back_keys = 1024;          ///< below so many keys
  double fall_back_area = 0.6;        ///< above this share of the causal cells
};

/// Phase 1 of LoopServe (arXiv 2507.13681): for each new input, layer and query head, the vertical and slash lines of small total length whose union holds
/// a share alpha of the attention, measured on sampled rows. Nothing is searched offline; the random rows are a function of the site alone.
template <class Backend>
class online_vertical_slash {
 public:
  using backend_type = Backend;
  using options = online_vertical_slash_options;
  static constexpr bool covering = true;  ///< the laws of selectors with an alpha hold

  explicit online_vertical_slash(Backend& backend, options o = {}) : backend_(&backend), options_(o) {
    check(o.rows >= 1 && o.last_rows >= 0 && o.sinks >= 0 && o.local >= 0 && o.alpha > 0, "online_vertical_slash: rows and alpha must be positive, counts not negative");
  }

  /// Scratch memory of one selection: a head's scores on the sampled rows and the state of its cover, for each thread.
  static constexpr index_t planned_bytes(options const& o, int heads, int rows, int keys, int threads) {
    if (o.alpha >= 1 || (o.fall_back && keys < o.fall_back_keys)) { return 0; }
    return std::min(heads, threads) * (index_t{sizeof(float)} * std::min(rows, o.rows) * keys + detail::cover_bytes(keys));
  }

  options const& settings() const { return options_; }

  /// The rows of the chunk that head `head` is judged by.
  std::vector<int> sampled(prefill_site site, int head, int rows) const {
    counter_rng const random{site.seed, static_cast<std::uint64_t>(site.layer), static_cast<std::uint64_t>(head), static_cast<std::uint64_t>(site.turn),
                             static_cast<std::uint64_t>(site.chunk)};
    return sample_rows(rows, options_.rows, options_.last_rows, random);
  }

  template <class Element>
  void select(prefill_site site, tensor_view<float const, 3> q, kv_view<Element> kv, line_plan_view plan) {
    declare_dense(*backend_, plan);
    if (options_.alpha >= 1 || plan.rows == 0 || (options_.fall_back && plan.keys < options_.fall_back_keys)) { return; }
    auto const workers = std::min(lanes(*backend_), plan.heads);
    if (static_cast<int>(scratch_.size()) < workers) { scratch_.resize(static_cast<std::size_t>(workers)); }
    auto const need = index_t{std::min(plan.rows, options_.rows)} * plan.keys;
    std::atomic<int> next{0};
    parallel_for(workers, workers, [&](index_t worker) {
      auto& scores = scratch_[static_cast<std::size_t>(worker)];
      if (scores.size() < need) {
        scores = {};  // first give back
        scores = backend_->template make_buffer<float>(need);
      }
      for (int head = next++; head < plan.heads; head = next++) { select_head(site, q, kv, plan, head, scores.data()); }
    });
  }

 private:
  template <class Element>
  void select_head(prefill_site site, tensor_view<float const, 3> q, kv_view<Element> kv, line_plan_view plan, int head, float* scratch) {
    auto const rows = sampled(site, head, plan.rows);
    auto positions = rows;
    for (int& p : positions) { p += plan.keys - plan.rows; }
    tensor_view<float, 2> const scores(scratch, {static_cast<index_t>(rows.size()), plan.keys});
    line_scores(*backend_, q, kv, rows, head, scores);
    cover_options cover;
    cover.alpha = options_.alpha;
    cover.sinks = options_.sinks;
    cover.local = options_.local;
    cover.by_density = options_.rank == line_rank::density;
    cover.dense_above = options_.fall_back ? options_.fall_back_area : 1;
    cover_view out;
    out.verticals = plan.verticals + head * plan.stride;
    out.slashes = plan.slashes + head * plan.stride;
    out.vertical_count = plan.vertical_counts + head;
    out.slash_count = plan.slash_counts + head;
    out.dense = plan.dense + head;
    out.covered = plan.covered + head;
    cover_lines(*backend_, tensor_view<float const, 2>(scores), positions, plan.rows, cover, out);
  }

  Backend* backend_;
  options options_;
  std::vector<typename Backend::template buffer<float>> scratch_;
};

static_assert(prefill_selector<online_vertical_slash<reference>>);

}  // namespace loopserve
