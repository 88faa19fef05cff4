// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <utility>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/ops/copy.hpp>
#include <loopserve/ops/key_sketch.hpp>

namespace loopserve {

/// Owns the sketch of one layer's keys; it grows with the context by full groups of 64 tokens and is cut with it.
template <class Backend>
class sketch_cache {
 public:
  sketch_cache(Backend& backend, int bits) : backend_(&backend), bits_(bits) {}

  /// Sketches what `kv` holds beyond what is sketched. A view that begins elsewhere or has another shape is sketched anew.
  template <class Element>
  void grow(kv_view<Element> kv) {
    if (kv.first != first_ || kv.kv_heads != kv_heads_ || kv.head_dim != head_dim_) {
      groups_ = capacity_ = 0;
      first_ = kv.first;
      kv_heads_ = kv.kv_heads;
      head_dim_ = kv.head_dim;
    }
    int const full = kv.length() / sketch_group, held = std::min(groups_, full);
    groups_ = held;
    if (full > capacity_) { make_room(full); }
    groups_ = full;
    sketch_keys(*backend_, kv, held, full, view());
  }

  /// Tokens from `tokens` on, counted as the whole sequence counts them, are gone.
  void truncate(int tokens) { groups_ = std::min(groups_, std::max(0, tokens - first_) / sketch_group); }

  key_sketch_view view() const {
    key_sketch_view v;
    v.kv_heads = kv_heads_;
    v.head_dim = head_dim_;
    v.bits = bits_;
    v.groups = groups_;
    v.lo = const_cast<f16*>(lo_.data());
    v.step = const_cast<f16*>(step_.data());
    v.codes = const_cast<std::uint32_t*>(codes_.data());
    return v;
  }

  sketch_cache copy() const {
    sketch_cache c(*backend_, bits_);
    c.first_ = first_;
    c.kv_heads_ = kv_heads_;
    c.head_dim_ = head_dim_;
    c.groups_ = groups_;
    c.capacity_ = capacity_;
    c.lo_ = duplicate(*backend_, lo_);
    c.step_ = duplicate(*backend_, step_);
    c.codes_ = duplicate(*backend_, codes_);
    return c;
  }

  index_t bytes() const { return lo_.bytes() + step_.bytes() + codes_.bytes(); }

  /// The bytes that `groups` groups take.
  static index_t bytes_for(int kv_heads, int head_dim, int bits, int groups) {
    key_sketch_view v;
    v.head_dim = head_dim;
    v.bits = bits;
    return index_t{groups} * kv_heads * (2 * index_t{sizeof(f16)} * head_dim + index_t{sizeof(std::uint32_t)} * v.words() * sketch_group);
  }

 private:
  void make_room(int groups) {
    capacity_ = groups;  // grows once a turn, and is a small part of the keys: no spare room
    auto const row = index_t{kv_heads_} * head_dim_, words = index_t{kv_heads_} * view().words() * sketch_group;
    move_to(lo_, row);
    move_to(step_, row);
    move_to(codes_, words);
  }

  template <class Buffer>
  void move_to(Buffer& buffer, index_t group_elements) {
    auto grown = backend_->template make_buffer<typename Buffer::value_type>(capacity_ * group_elements);
    copy_elements(*backend_, static_cast<typename Buffer::value_type const*>(buffer.data()), groups_ * group_elements, grown.data());
    buffer = std::move(grown);
  }

  Backend* backend_;
  int bits_;
  int first_ = 0;
  int kv_heads_ = 0;
  int head_dim_ = 0;
  int groups_ = 0;
  int capacity_ = 0;
  typename Backend::template buffer<f16> lo_, step_;
  typename Backend::template buffer<std::uint32_t> codes_;
};

}  // namespace loopserve
