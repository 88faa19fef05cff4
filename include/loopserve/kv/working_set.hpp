// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/kv/kept_rows.hpp>
#include <loopserve/ops/copy.hpp>
#include <loopserve/ops/gather.hpp>

namespace loopserve {

/// The compact copy of one layer's kept rows that decode attention reads, with their absolute positions, whatever the element type of the storage.
/// Between two assignments only the rows that differ are copied. After clear() it is empty and forgets what it held: call it where the context changed
/// (a new turn, truncation).
template <class Backend>
class working_set {
 public:
  explicit working_set(Backend& backend) : backend_(&backend) {}

  /// Holds exactly the rows `keep` of `full` from now on. `queue` is the backend it was built with, or what each_job gives in its place.
  template <class Queue, class Element>
  void assign(Queue& queue, kv_view<Element> full, kept_rows_view keep) {
    if (keep.stride > capacity_ || keep.kv_heads != kv_heads_ || full.head_dim != head_dim_ || sizeof(Element) != element_bytes_) {
      shape(keep, full.head_dim, sizeof(Element));
    }
    gathered_rows_view<Element> to;
    to.capacity = capacity_;
    to.keys = elements<Element>(0);
    to.values = elements<Element>(1);
    to.positions = ints(0);
    to.tokens = ints(1);
    to.slots = ints(2);
    to.counts = counts_.data();
    to.copied = counts_.data() + kv_heads_;
    gather_rows(queue, full, keep, to);
    if constexpr (Backend::space == memory_space::device) {
      tokens_ = static_cast<int>(keep.stride);  // how long a head's list is, only the device knows
    } else {
      tokens_ = *std::max_element(counts_.data(), counts_.data() + kv_heads_);
    }
  }

  /// Valid until the next assign() or clear(). `Element` is that of the last assign(). On a device its `tokens` is what the lists had room for.
  template <class Element>
  kv_view<Element> view() const {
    kv_view<Element> kv;
    kv.kv_heads = kv_heads_;
    kv.head_dim = head_dim_;
    kv.tokens = tokens_;
    if (tokens_ == 0) { return kv; }
    check(sizeof(Element) == element_bytes_, "a working set is read in the element type it was written in");
    auto const* const pages = reinterpret_cast<Element const* const*>(pages_.data());
    kv.key_pages = pages;
    kv.value_pages = pages + kv_heads_;
    kv.page_table_stride = 1;
    kv.row_stride = head_dim_;
    kv.lengths = counts_.data();
    kv.positions = ints_.data();
    kv.positions_stride = capacity_;
    return kv;
  }

  void clear() {
    tokens_ = 0;
    std::vector<int> const none(static_cast<std::size_t>(kv_heads_), 0);
    if (kv_heads_ > 0) { upload(*backend_, none.data(), kv_heads_, counts_.data()); }
  }

  /// Held now, with the lists of what is held.
  index_t bytes() const { return memory_.bytes() + ints_.bytes() + counts_.bytes() + pages_.bytes(); }

  /// What `rows` rows of every KV head take.
  static index_t planned_bytes(int kv_heads, int head_dim, index_t element_bytes, index_t rows) {
    return 2 * aligned(kv_heads * rows * head_dim * element_bytes) + 3 * kv_heads * rows * index_t{sizeof(int)} +
           2 * index_t{kv_heads} * index_t{sizeof(int) + sizeof(void*)};
  }

  /// Rows of a KV head copied by all assignments so far, summed over the heads. On a device it waits.
  index_t rows_copied() const {
    std::vector<int> copied(static_cast<std::size_t>(kv_heads_));
    if (kv_heads_ > 0) { download(*backend_, counts_.data() + kv_heads_, kv_heads_, copied.data()); }
    return std::accumulate(copied.begin(), copied.end(), rows_copied_before_);
  }

 private:
  // Pointers and bytes go through buffers of their own, so that no element type is named before the first assign().
  void shape(kept_rows_view keep, int head_dim, std::size_t element_bytes) {
    rows_copied_before_ = rows_copied();
    capacity_ = std::max(capacity_, keep.stride);
    kv_heads_ = keep.kv_heads;
    head_dim_ = head_dim;
    element_bytes_ = element_bytes;
    index_t const part = part_bytes();
    memory_ = {};  // first give back
    ints_ = {};
    memory_ = backend_->template make_buffer<unsigned char>(2 * part);
    ints_ = backend_->template make_buffer<int>(3 * kv_heads_ * capacity_);
    counts_ = backend_->template make_buffer<int>(2 * kv_heads_);
    pages_ = backend_->template make_buffer<void const*>(2 * kv_heads_);
    std::vector<void const*> pages;
    for (index_t h = 0; h < 2 * kv_heads_; ++h) { pages.push_back(memory_.data() + h / kv_heads_ * part + h % kv_heads_ * capacity_ * head_dim_ * static_cast<index_t>(element_bytes_)); }
    upload(*backend_, pages.data(), 2 * kv_heads_, pages_.data());
    std::vector<int> const none(static_cast<std::size_t>(2 * kv_heads_), 0);
    upload(*backend_, none.data(), 2 * kv_heads_, counts_.data());
    tokens_ = 0;
  }

  static index_t aligned(index_t bytes) { return (bytes + 63) / 64 * 64; }
  index_t part_bytes() const { return aligned(kv_heads_ * capacity_ * head_dim_ * static_cast<index_t>(element_bytes_)); }

  template <class Element>
  Element* elements(int part) {
    return reinterpret_cast<Element*>(memory_.data() + part * part_bytes());
  }
  int* ints(int part) { return ints_.data() + part * kv_heads_ * capacity_; }

  Backend* backend_;
  typename Backend::template buffer<unsigned char> memory_;  // keys, then values
  typename Backend::template buffer<int> ints_;              // positions, tokens, slots
  typename Backend::template buffer<int> counts_;            // held, copied
  typename Backend::template buffer<void const*> pages_;
  index_t capacity_ = 0;
  int kv_heads_ = 0;
  int head_dim_ = 0;
  std::size_t element_bytes_ = 0;
  int tokens_ = 0;
  index_t rows_copied_before_ = 0;  // with buffers of another shape
};

}  // namespace loopserve
