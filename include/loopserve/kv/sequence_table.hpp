// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// Hands out sequence ids and finds what belongs to them. An id is given again only after it was released.
template <class Sequence>
class sequence_table {
 public:
  sequence_id add(Sequence sequence) {
    if (free_.empty()) {
      held_.emplace_back(std::move(sequence));
      return static_cast<sequence_id>(held_.size() - 1);
    }
    auto const at = free_.back();
    free_.pop_back();
    held_[static_cast<std::size_t>(at)].emplace(std::move(sequence));
    return static_cast<sequence_id>(at);
  }

  /// Throws error where `id` is not open.
  Sequence& at(sequence_id id) {
    check(open(id), "no such sequence: it was never opened, or is released");
    return *held_[static_cast<std::size_t>(raw(id))];
  }
  Sequence const& at(sequence_id id) const { return const_cast<sequence_table&>(*this).at(id); }

  void remove(sequence_id id) {
    at(id);
    free_.push_back(raw(id));
    held_[static_cast<std::size_t>(raw(id))].reset();
  }

  bool open(sequence_id id) const {
    return raw(id) >= 0 && static_cast<std::size_t>(raw(id)) < held_.size() && held_[static_cast<std::size_t>(raw(id))].has_value();
  }

  template <class Visit>
  void for_each(Visit&& visit) const {
    for (auto const& sequence : held_) {
      if (sequence) { visit(*sequence); }
    }
  }

 private:
  std::vector<std::optional<Sequence>> held_;
  std::vector<int> free_;
};

}  // namespace loopserve
