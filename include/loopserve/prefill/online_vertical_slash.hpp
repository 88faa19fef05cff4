// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/prefill/choose_lines.hpp>
#include <loopserve/prefill/prefill_selector.hpp>

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

  /// Scratch memory of one selection: on the host a head's scores on the sampled rows and the state of its cover, for each thread; on a device those of as many
  /// heads as are looked at together, where keys have up to 256 channels.
  static constexpr index_t planned_bytes(options const& o, int heads, int rows, int keys, int threads) {
    if (o.alpha >= 1 || (o.fall_back && keys < o.fall_back_keys)) { return 0; }
    int const sampled = std::min(rows, o.rows);
    if constexpr (Backend::space == memory_space::device) { return detail::device_line_bytes(heads, sampled, keys, 256); }
    return std::min(heads, threads) * (index_t{sizeof(float)} * sampled * keys + detail::cover_bytes(keys));
  }

  options const& settings() const { return options_; }

  /// The rows of the chunk that head `head` is judged by.
  std::vector<int> sampled(prefill_site site, int head, int rows) const { return sampled_rows(choice(site), head, rows); }

  template <class Element>
  void select(prefill_site site, tensor_view<float const, 3> q, kv_view<Element> kv, line_plan_view plan) {
    declare_dense(*backend_, plan);
    if (options_.alpha >= 1 || plan.rows == 0 || (options_.fall_back && plan.keys < options_.fall_back_keys)) { return; }
    choose_lines(*backend_, choice(site), q, kv, plan, scratch_);
  }

 private:
  line_choice choice(prefill_site site) const {
    line_choice c{site, options_.rows, options_.last_rows, {}};
    c.cover.alpha = options_.alpha;
    c.cover.sinks = options_.sinks;
    c.cover.local = options_.local;
    c.cover.by_density = options_.rank == line_rank::density;
    c.cover.dense_above = options_.fall_back ? options_.fall_back_area : 1;
    return c;
  }

  Backend* backend_;
  options options_;
  line_scratch<Backend> scratch_;
};

static_assert(prefill_selector<online_vertical_slash<reference>>);

}  // namespace loopserve
