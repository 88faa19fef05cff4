// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace loopserve {

/// The family of everything that loopserve throws. The text is one sentence that a user can act on.
class error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A file or a text that is not what it claims to be.
class format_error : public error {
 public:
  using error::error;
};

/// A request that does not fit the memory or the context it was given; thrown before any work starts.
class capacity_error : public error {
 public:
  using error::error;
};

/// The CUDA runtime refused a call, or a kernel failed. Says which call, in CUDA's own words, and where it was made.
class cuda_error : public error {
 public:
  using error::error;
};

/// Where a check stands in the source; the default arguments take the caller's place.
struct source_place {
  char const* file;
  int line;
};

constexpr source_place here(char const* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }

/// Throws `error` with `sentence` and the caller's file and line where `ok` is false: for a caller's mistake, not for bad files.
inline void check(bool ok, char const* sentence, source_place place = here()) {
  if (!ok) { throw error(std::string(sentence) + " (" + place.file + ":" + std::to_string(place.line) + ")"); }
}

}  // namespace loopserve
