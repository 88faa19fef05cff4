// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

namespace loopserve {

/// The backend that an engine's options ask for: with their number of threads, or on their device.
template <class Backend, class Options>
Backend make_backend(Options const& o) {
  if constexpr (std::constructible_from<Backend, int>) {
    return Backend(o.threads);
  } else if constexpr (requires(typename Backend::options wanted) { Backend(wanted).synchronize(); wanted.device = o.device; }) {
    typename Backend::options wanted;
    wanted.device = o.device;
    return Backend(wanted);
  } else {
    return Backend();
  }
}

}  // namespace loopserve
