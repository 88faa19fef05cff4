// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include <loopserve/core/backend.hpp>

namespace loopserve {

/// Copies `count` elements from one place of the backend's memory to another that does not overlap it.
template <class T>
void copy_elements(reference const&, T const* from, index_t count, T* to) {
  std::copy_n(from, count, to);
}

/// Copies `count` elements from the host's memory into the backend's.
template <class T>
void upload(reference const&, T const* from, index_t count, T* to) {
  std::copy_n(from, count, to);
}

/// Copies `count` elements from the backend's memory into the host's; they are there on return.
template <class T>
void download(reference const&, T const* from, index_t count, T* to) {
  std::copy_n(from, count, to);
}

/// A buffer of the same size and content.
template <class Backend, class Buffer>
Buffer duplicate(Backend& b, Buffer const& from) {
  auto to = b.template make_buffer<typename Buffer::value_type>(from.size());
  copy_elements(b, from.data(), from.size(), to.data());
  return to;
}

}  // namespace loopserve
