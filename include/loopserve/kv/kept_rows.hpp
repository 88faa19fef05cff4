// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/backend.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/ops/kept_rows_view.hpp>

namespace loopserve {

/// Owns a choice of context tokens. `all()` says that the whole context is attended and the lists are not read.
template <class Backend>
class kept_rows {
 public:
  explicit kept_rows(Backend& backend) : backend_(&backend) {}

  bool all() const { return all_; }
  void keep_all() { all_ = true; }

  /// Lists of up to `capacity` tokens for each KV head follow; what they held is lost where they must grow.
  kept_rows_view lists(int kv_heads, int capacity) {
    auto const size = static_cast<index_t>(kv_heads) * capacity;
    if (rows_.size() < size) {
      rows_ = {};  // first give back
      rows_ = backend_->template make_buffer<int>(size);
    }
    if (counts_.size() < kv_heads) { counts_ = backend_->template make_buffer<int>(kv_heads); }
    all_ = false;
    kv_heads_ = kv_heads;
    stride_ = capacity;
    return view();
  }

  /// The bytes that lists of `capacity` tokens take.
  static index_t planned_bytes(int kv_heads, index_t capacity) { return kv_heads * (capacity + 1) * index_t{sizeof(int)}; }

  kept_rows_view view() { return {kv_heads_, stride_, rows_.data(), counts_.data()}; }

 private:
  Backend* backend_;
  typename Backend::template buffer<int> rows_, counts_;
  int kv_heads_ = 0;
  index_t stride_ = 0;
  bool all_ = true;
};

}  // namespace loopserve
