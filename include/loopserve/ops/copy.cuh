// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/copy.hpp>

namespace loopserve {

/// The reference's copies between the host's memory and the device's, queued; `download` waits.
template <device_backend B, class T>
void copy_elements(B const& b, T const* from, index_t count, T* to) {
  b.copy_inside(to, from, count * static_cast<index_t>(sizeof(T)));
}
template <device_backend B, class T>
void upload(B const& b, T const* from, index_t count, T* to) {
  b.copy_to_device(to, from, count * static_cast<index_t>(sizeof(T)));
}
template <device_backend B, class T>
void download(B const& b, T const* from, index_t count, T* to) {
  b.copy_to_host(to, from, count * static_cast<index_t>(sizeof(T)));
}

}  // namespace loopserve
