// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/fault.hpp>
#include <loopserve/dev/primitives.hpp>

namespace loopserve::dev {

/// Records what this kernel found wrong, unless something is recorded already. The host throws when it next waits.
LOOPSERVE_DEVICE inline void report(fault_record* record, fault kind, int value) {
  auto* const word = reinterpret_cast<int*>(&record->kind);
  if (atomic_compare_exchange(word, static_cast<int>(fault::none), static_cast<int>(kind)) == static_cast<int>(fault::none)) {
    atomic_exchange(&record->value, value);
  }
}

}  // namespace loopserve::dev
