// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <list>
#include <utility>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/core/step_counts.hpp>

namespace loopserve {

namespace detail {
template <class Backend>
struct step_of {
  struct type {};
};
template <class Backend>
  requires(Backend::space == memory_space::device)
struct step_of<Backend> {
  using type = typename Backend::step;
};
}  // namespace detail

/// Runs steps that the same conversations take again and again: a device replays what a step has in common with their last one.
template <class Backend>
class replayed_steps {
 public:
  /// `body` queues a step of these conversations; the host waits for it before their next one.
  template <class Body>
  void run(Backend& backend, std::vector<sequence_id> who, Body&& body) {
    if constexpr (Backend::space == memory_space::device) {
      backend.replay(step_of(std::move(who)), std::forward<Body>(body));
    } else {
      std::forward<Body>(body)();
    }
  }

  /// Of the batches that are remembered.
  step_counts counts() const {
    step_counts sum;
    if constexpr (Backend::space == memory_space::device) {
      for (auto const& batch : batches_) { sum += batch.step.work.counts(); }
    }
    return sum;
  }

 private:
  static constexpr std::size_t most_batches = 4;  // several are under way at once where more answer than fit one

  using step_type = typename detail::step_of<Backend>::type;
  struct batch {
    explicit batch(std::vector<sequence_id> ids) : who(std::move(ids)) {}
    std::vector<sequence_id> who;
    step_type step;
  };

  step_type& step_of(std::vector<sequence_id> who) {
    auto const known = std::find_if(batches_.begin(), batches_.end(), [&](batch const& b) { return b.who == who; });
    if (known != batches_.end()) {
      batches_.splice(batches_.begin(), batches_, known);
    } else {
      if (batches_.size() == most_batches) { batches_.pop_back(); }
      batches_.emplace_front(std::move(who));
    }
    return batches_.front().step;
  }

  std::list<batch> batches_;  // the last used first
};

}  // namespace loopserve
