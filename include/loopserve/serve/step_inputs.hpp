// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/ops/copy.hpp>

namespace loopserve {

/// The ids and positions of a step's rows where a model reads them: the host's own lists, or a copy in the device's memory that stays in its place.
template <class Backend>
class step_inputs {
 public:
  /// For up to `rows` rows.
  step_inputs(Backend& backend, int rows)
      : backend_(&backend),
        ids_(backend.template make_buffer<token_id>(on_device ? rows : 0)),
        positions_(backend.template make_buffer<int>(on_device ? rows : 0)) {}

  /// Valid until the next call, and as long as the host's list.
  std::span<token_id const> ids(std::span<token_id const> host) { return placed(host, ids_); }
  std::span<int const> positions(std::span<int const> host) { return placed(host, positions_); }

 private:
  static constexpr bool on_device = Backend::space == memory_space::device;

  template <class T, class Buffer>
  std::span<T const> placed(std::span<T const> host, Buffer& to) {
    if constexpr (on_device) {
      check(static_cast<index_t>(host.size()) <= to.size(), "a step has more rows than the engine has room for");
      upload(*backend_, host.data(), static_cast<index_t>(host.size()), to.data());
      return {to.data(), host.size()};
    } else {
      return host;
    }
  }

  Backend* backend_;
  typename Backend::template buffer<token_id> ids_;
  typename Backend::template buffer<int> positions_;
};

}  // namespace loopserve
