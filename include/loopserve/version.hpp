// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace loopserve {

struct version_number {
  int major = 0;
  int minor = 1;
  int patch = 0;
};

/// The version of the headers that a program was compiled with.
inline constexpr version_number version{};

}  // namespace loopserve
