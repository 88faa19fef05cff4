// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "emulated.hpp"

namespace loopserve {

/// An emulated device with a second queue. Either queue can be late: its work is put off until somebody has to wait for it, while the other's runs at once. So an order that
/// nobody asked for is not there: work that should have come behind the late queue's comes before it, and what should have waited for it reads what was there before.
class two_queues : public emulated {
 public:
  enum class late { neither, first, second };
  /// Of the devices that are made from now on.
  inline static late which = late::neither;

  two_queues() : two_queues(which == late::first) {}

  friend two_queues beside(two_queues const&) { return two_queues(which == late::second); }
  friend void run_after(two_queues const&, two_queues const& earlier) { earlier.catch_up(); }

 private:
  explicit two_queues(bool puts_off) : emulated({}, puts_off) {}
};

}  // namespace loopserve
