// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/backend.hpp>

namespace loopserve {

/// How many independent operations of one kind, each a piece of work for one thread, a backend wants issued at once.
inline int lanes(reference const& b) { return b.threads(); }

}  // namespace loopserve
