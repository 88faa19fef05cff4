// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace loopserve {

/// Ends an answer at the first of several strings, wherever token boundaries fall: text that may be the beginning of a stop string is held back until
/// more text decides. A stop string itself is never given out. Of several, the one that is
/// complete first ends the answer, however the text was cut.
class stop_strings {
 public:
  stop_strings() = default;
  /// Empty strings stop nothing.
  explicit stop_strings(std::vector<std::string> strings) : strings_(std::move(strings)) {
    strings_.erase(std::remove(strings_.begin(), strings_.end(), std::string()), strings_.end());
  }

  /// Takes the next stretch of the answer and gives what can no longer be part of a stop string; nothing once stopped.
  std::string push(std::string_view text) {
    if (stopped_) { return {}; }
    held_ += text;
    auto first = std::string::npos;
    auto earliest_end = std::string::npos;  // not the earliest beginning: then the result would depend on how the text was cut
    for (auto const& stop : strings_) {
      auto const at = held_.find(stop);
      if (at == std::string::npos || at + stop.size() > earliest_end) { continue; }
      first = at + stop.size() < earliest_end ? at : std::min(first, at);
      earliest_end = at + stop.size();
    }
    if (first != std::string::npos) {
      stopped_ = true;
      return take(first, true);
    }
    return take(held_.size() - longest_beginning(), false);
  }

  /// At the end of the answer: what was held back for a stop string that never came.
  std::string flush() { return take(held_.size(), true); }

  bool stopped() const { return stopped_; }

 private:
  /// The length of the longest suffix of the held text with which some stop string begins.
  std::size_t longest_beginning() const {
    std::size_t longest = 0;
    for (auto const& stop : strings_) {
      for (auto n = std::min(held_.size(), stop.size() - 1); n > longest; --n) {
        if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) { longest = n; }
      }
    }
    return longest;
  }

  std::string take(std::size_t count, bool drop_rest) {
    auto out = held_.substr(0, count);
    held_.erase(0, drop_rest ? std::string::npos : count);
    return out;
  }

  std::vector<std::string> strings_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace loopserve
