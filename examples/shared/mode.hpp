// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <loopserve/core/error.hpp>

namespace programs {

/// A prefill selector and a KV policy, by name.
struct components {
  std::string selector;
  std::string compressor;
};

/// What a mode stands for: `dense` skips nothing, `loopserve` has both phases, the other two have one. A name given beside the mode decides instead of it.
inline components components_of(std::string const& mode, std::string const& selector = {}, std::string const& compressor = {}) {
  bool const both = mode == "loopserve";
  if (!both && mode != "dense" && mode != "prefill-only" && mode != "decode-only") {
    throw loopserve::error("there is no mode '" + mode + "'; there are: dense, loopserve, prefill-only, decode-only");
  }
  return {!selector.empty() ? selector : both || mode == "prefill-only" ? "online_vertical_slash" : "dense",
          !compressor.empty() ? compressor : both || mode == "decode-only" ? "with_recall:progressive" : "keep_all"};
}

}  // namespace programs
