// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include <loopserve/core/step_counts.hpp>
#include <loopserve/dev/queued_work.hpp>

namespace loopserve {

namespace detail {

inline constexpr std::size_t pieces_per_graph = 64;  // a few milliseconds of a large model's step: the device starts on the first while the host is at the next

/// A step of work that comes again and again, as it was queued last time. The code that queues a step runs as ever; each piece of work that it asks for is compared with
/// the recorded one. While they agree nothing is queued but whole graphs of pieces, in which the arguments that differ are changed first; from the first piece that is
/// of another kind on, the rest of the step is queued singly. So what the device does is always what was asked for, whatever is replayed.
///
/// `Queue` has a type `graph`: made from (queue, list), `launch(queue)`, and `change(queue, list, i)`, which says whether it could.
template <class Queue>
class step_recording {
 public:
  void begin() {
    ++counts_.steps;
    segment_ = at_ = 0;
    state_ = matching;
    if (segments_.empty() || misses_ == misses_allowed) {
      segments_.clear();
      misses_ = 0;
      state_ = recording;
    }
  }

  void add(Queue& queue, work_type<Queue> const& type, grid blocks, void const* arguments) {
    if (state_ == matching && !matches(type)) { leave(queue); }
    if (state_ == matching) { return match(queue, blocks, arguments); }
    if (state_ == recording) {
      if (segments_.empty() || segments_.back().list.size() == pieces_per_graph) { segments_.emplace_back(); }
      segments_.back().list.add(type, blocks, arguments);
    }
    ++counts_.one_by_one;
    type.run(queue, blocks, arguments);
  }

  /// The host wants to wait in the middle of the step: what was asked for so far is queued, the rest will be singly.
  void leave(Queue& queue) {
    if (state_ == matching && segment_ < segments_.size()) {
      for (std::size_t i = 0; i < at_; ++i) {
        ++counts_.one_by_one;
        segments_[segment_].list.run(queue, i);
      }
    }
    if (state_ == recording) { segments_.clear(); }
    if (state_ == matching) { ++misses_; }
    state_ = singly;
  }

  void end(Queue& queue) {
    if (state_ == matching && segment_ < segments_.size()) { leave(queue); }
    if (state_ == matching) {
      ++counts_.replayed;
      misses_ = 0;
    }
  }

  /// What was asked for and not queued yet is given up.
  void abandon() {
    if (state_ == recording) { segments_.clear(); }
    state_ = singly;
  }

  step_counts const& counts() const { return counts_; }

 private:
  static constexpr int misses_allowed = 2;  // in a row: then the step that is recorded is not the one that comes again

  enum state { recording, matching, singly };

  struct segment {
    work_list<Queue> list;
    typename Queue::graph graph = {};
    std::vector<std::size_t> stale;  // pieces of the list that the graph has other arguments for
  };

  bool matches(work_type<Queue> const& type) const { return segment_ < segments_.size() && segments_[segment_].list[at_].type == &type; }

  void match(Queue& queue, grid blocks, void const* arguments) {
    auto& s = segments_[segment_];
    if (!s.list.equal(at_, blocks, arguments)) {
      s.list.change(at_, blocks, arguments);
      s.stale.push_back(at_);
    }
    if (++at_ < s.list.size()) { return; }
    play(queue, s);
    ++segment_;
    at_ = 0;
  }

  void play(Queue& queue, segment& s) {
    bool current = static_cast<bool>(s.graph);
    for (std::size_t i = 0; current && i < s.stale.size(); ++i) {
      ++counts_.patched;
      current = s.graph.change(queue, s.list, s.stale[i]);
    }
    if (!current) {
      ++counts_.graphs;
      s.graph = {};
      s.graph = typename Queue::graph(queue, s.list);
    }
    s.stale.clear();
    ++counts_.launches;
    s.graph.launch(queue);
  }

  std::vector<segment> segments_;
  std::size_t segment_ = 0, at_ = 0;  // the piece that is compared next
  state state_ = singly;
  int misses_ = 0;
  step_counts counts_;
};

}  // namespace detail
}  // namespace loopserve
