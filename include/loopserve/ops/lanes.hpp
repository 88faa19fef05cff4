// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/backend.hpp>

namespace loopserve {

/// How many independent operations of one kind, each a piece of work for one thread, a backend wants issued at once.
inline int lanes(reference const& b) { return b.threads(); }

/// As many threads as pay for `work` elementary steps: starting the others costs some microseconds.
inline int threads_for(reference const& b, index_t work) { return work < 32768 ? 1 : b.threads(); }

}  // namespace loopserve
