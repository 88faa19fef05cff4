// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/buffer.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/ops/copy.hpp>

namespace loopserve {

/// Rows of logits where a model writes them, and for the host to read. On a device they stay there unless the host asks for a row.
template <class Backend>
class logits_rows {
 public:
  logits_rows(Backend& backend, int rows, int vocabulary)
      : backend_(&backend),
        vocabulary_(vocabulary),
        host_(index_t{on_device ? 1 : rows} * vocabulary),
        device_(backend.template make_buffer<float>(on_device ? index_t{rows} * vocabulary : 0)) {}

  /// The first `rows` rows, in the backend's memory: (rows, vocabulary).
  tensor_view<float, 2> rows(int rows) { return {memory(), {rows, vocabulary_}}; }

  /// Row `i` in the host's memory, to be changed at will; on a device valid until the next call, which waits.
  std::span<float> row(int i) {
    auto const n = static_cast<std::size_t>(vocabulary_);
    if constexpr (on_device) {
      download(*backend_, static_cast<float const*>(device_.data()) + i * index_t{vocabulary_}, vocabulary_, host_.data());
      return host_.span();
    } else {
      return host_.span().subspan(static_cast<std::size_t>(i) * n, n);
    }
  }

 private:
  static constexpr bool on_device = Backend::space == memory_space::device;

  float* memory() {
    if constexpr (on_device) {
      return device_.data();
    } else {
      return host_.data();
    }
  }

  Backend* backend_;
  int vocabulary_;
  host_buffer<float> host_;
  typename Backend::template buffer<float> device_;
};

}  // namespace loopserve
