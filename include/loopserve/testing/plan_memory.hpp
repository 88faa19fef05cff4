// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include <loopserve/prefill/line_plan.hpp>
#include <loopserve/testing/backend_memory.hpp>

namespace loopserve::testing {

/// A copy of the host's plan in the backend's memory.
template <class Backend>
class uploaded_plan {
 public:
  uploaded_plan(Backend& b, line_plan_view host) : view_(host) {
    index_t const lines = host.heads * host.stride;
    auto const copy = [&](auto& to, auto* from, index_t count) {
      to = uploaded(b, std::vector(from, from + count));
      return to.data();
    };
    view_.verticals = copy(verticals_, host.verticals, lines);
    view_.slashes = copy(slashes_, host.slashes, lines);
    view_.vertical_counts = copy(vertical_counts_, host.vertical_counts, host.heads);
    view_.slash_counts = copy(slash_counts_, host.slash_counts, host.heads);
    view_.dense = copy(dense_, host.dense, host.heads);
    view_.covered = copy(covered_, host.covered, host.heads);
  }

  line_plan_view const& view() const { return view_; }

 private:
  line_plan_view view_;
  typename Backend::template buffer<int> verticals_, slashes_, vertical_counts_, slash_counts_;
  typename Backend::template buffer<unsigned char> dense_;
  typename Backend::template buffer<float> covered_;
};

/// A copy of a plan of the backend's memory as the host reads it.
class downloaded_plan {
 public:
  template <class Backend>
  downloaded_plan(Backend& b, line_plan_view there)
      : vertical_counts_(downloaded(b, there.vertical_counts, there.heads)),
        slash_counts_(downloaded(b, there.slash_counts, there.heads)),
        dense_(downloaded(b, there.dense, there.heads)),
        covered_(downloaded(b, there.covered, there.heads)),
        lines_(static_cast<std::size_t>(2 * there.heads * there.stride), -1),
        view_{there.heads, there.rows, there.keys, there.stride, lines_.data(), lines_.data() + there.heads * there.stride,
              vertical_counts_.data(), slash_counts_.data(), dense_.data(), covered_.data()} {
    for (int h = 0; h < there.heads; ++h) {
      index_t const list = h * there.stride;
      std::ranges::copy(downloaded(b, there.verticals + list, vertical_counts_[static_cast<std::size_t>(h)]), view_.verticals + list);
      std::ranges::copy(downloaded(b, there.slashes + list, slash_counts_[static_cast<std::size_t>(h)]), view_.slashes + list);
    }
  }
  downloaded_plan(downloaded_plan&&) = default;  // vectors keep their memory, and the view what it points to

  line_plan_view const& view() const { return view_; }

 private:
  std::vector<int> vertical_counts_, slash_counts_;
  std::vector<unsigned char> dense_;
  std::vector<float> covered_;
  std::vector<int> lines_;
  line_plan_view view_;
};

}  // namespace loopserve::testing
