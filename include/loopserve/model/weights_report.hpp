// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include <loopserve/core/element.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// What a decoder's matrices take where they are computed with, and which of them are not in the type of their file.
struct weights_report {
  struct conversion {
    int matrices = 0;
    index_t bytes_before = 0, bytes_after = 0;
  };
  index_t bytes = 0;                           ///< of all matrices
  std::map<element_type, conversion> to_bf16;  ///< by the type they were stored in

  /// One matrix more.
  void add(element_type stored, index_t bytes_before, element_type placed, index_t bytes_after) {
    bytes += bytes_after;
    if (stored == placed) { return; }
    auto& c = to_bf16[stored];
    ++c.matrices;
    c.bytes_before += bytes_before;
    c.bytes_after += bytes_after;
  }

  /// A line for each type that was converted; "" where every matrix is as its file has it.
  std::string text() const {
    std::string lines;
    for (auto const& [type, c] : to_bf16) {
      lines += std::to_string(c.matrices) + (c.matrices == 1 ? " matrix in " : " matrices in ") + name_of(type) + ", " + std::to_string(c.bytes_before) +
               " bytes, converted to bf16, " + std::to_string(c.bytes_after) + " bytes\n";
    }
    return lines;
  }
};

}  // namespace loopserve
