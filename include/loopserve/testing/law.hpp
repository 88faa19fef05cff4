// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <loopserve/core/error.hpp>

namespace loopserve::testing {

/// A component broke a law of its concept; the sentence says which and where. Any test framework reports it.
class law_broken : public error {
 public:
  using error::error;
};

/// Throws `law_broken` with `sentence` where a law does not hold.
inline void require(bool holds, std::string sentence) {
  if (!holds) { throw law_broken(sentence); }
}

}  // namespace loopserve::testing
