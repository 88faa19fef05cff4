// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <loopserve/core/backend.hpp>
#include <loopserve/model/upload_weights.hpp>

namespace loopserve {

/// A decoder's weights where its backend computes with them: on the host where they lie already, on a device in its memory; then the files are let go.
template <class Backend>
class resident_weights {
 public:
  resident_weights(Backend& backend, decoder_weights weights) : host_(std::move(weights)) {
    if constexpr (Backend::space == memory_space::device) {
      placed_ = upload_weights(backend, view_of(host_));
      host_ = {};
    } else {
      static_cast<void>(backend);
      placed_.view = view_of(host_);
      placed_.report.bytes = host_.bytes();
    }
  }
  resident_weights(resident_weights const&) = delete;
  resident_weights& operator=(resident_weights const&) = delete;
  resident_weights(resident_weights&&) noexcept = default;
  resident_weights& operator=(resident_weights&&) noexcept = default;
  ~resident_weights() = default;

  decoder_view const& view() const { return placed_.view; }
  weights_report const& report() const { return placed_.report; }

 private:
  decoder_weights host_;
  placed_weights<Backend> placed_;
};

}  // namespace loopserve
