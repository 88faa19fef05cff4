// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>

namespace loopserve::simt {

/// While one lives, a touch of memory that is none is explained on stderr before whoever handled it before handles it: a kernel that follows an address of the
/// device past the primitives, or runs off its shared memory or its stack.
class fault_watch {
 public:
  fault_watch();
  ~fault_watch();
  fault_watch(fault_watch const&) = delete;
  fault_watch& operator=(fault_watch const&) = delete;
};

}  // namespace loopserve::simt
