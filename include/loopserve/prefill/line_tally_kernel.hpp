// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/reduce.hpp>
#include <loopserve/prefill/line_tally.hpp>

namespace loopserve {

/// A block a head: each vertical and each slash brings its cells, a slash without those where it meets a vertical.
struct line_tally_kernel {
  static constexpr int threads = 1024;
  using shared_layout = dev::reduce_scratch<unsigned long long>;

  line_plan_view plan;
  double share;
  line_tally* to;

  LOOPSERVE_DEVICE void operator()() const {
    int const h = dev::block().x;
    index_t cells = causal_cells(plan.rows, plan.keys);
    if (dev::load(plan.dense + h) == 0) {  // the same for all threads
      int const* const v = plan.verticals + h * plan.stride;
      int const* const s = plan.slashes + h * plan.stride;
      int const verticals = dev::load(plan.vertical_counts + h), slashes = dev::load(plan.slash_counts + h);
      unsigned long long own = 0;
      for (int i = dev::thread(); i < verticals; i += threads) { own += static_cast<unsigned long long>(visible(dev::load(v + i))); }
      for (int i = dev::thread(); i < slashes; i += threads) {
        index_t const d = dev::load(s + i);
        int const low = below(v, verticals, plan.keys - plan.rows - d), high = below(v, verticals, plan.keys - d);
        own += static_cast<unsigned long long>(visible(d) - (high - low));
      }
      cells = static_cast<index_t>(dev::block_reduce(own, 0ULL, dev::plus{}, dev::shared<shared_layout>()));
    }
    if (dev::thread() != 0) { return; }
    dev::store(&to[h].cells, dev::load(&to[h].cells) + cells);
    dev::store(&to[h].covered, dev::load(&to[h].covered) + share * static_cast<double>(dev::load(plan.covered + h)));
  }

 private:
  /// The rows of the chunk that reach a vertical at key `line`, or a slash of offset `line`.
  LOOPSERVE_DEVICE index_t visible(index_t line) const {
    index_t const hidden = line - (plan.keys - plan.rows);
    return plan.rows - (hidden > 0 ? hidden : 0);
  }

  /// How many of the ascending list are below `bound`.
  LOOPSERVE_DEVICE static int below(int const* list, int count, index_t bound) {
    int low = 0, high = count;
    while (low < high) {
      int const middle = (low + high) / 2;
      if (dev::load(list + middle) < bound) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

}  // namespace loopserve
