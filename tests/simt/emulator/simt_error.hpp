// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

#include <loopserve/core/error.hpp>

namespace loopserve::simt {

/// A kernel did what it must not do. Says which kernel, block and thread, what, and where in the source.
class simt_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline std::string told(source_place place) {
  std::string const file = place.file;
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(place.line);
}

}  // namespace loopserve::simt
