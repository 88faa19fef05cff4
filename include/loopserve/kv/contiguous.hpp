// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/kv/cache_storage.hpp>
#include <loopserve/kv/sequence_table.hpp>
#include <loopserve/ops/copy.hpp>
#include <loopserve/ops/store_rows.hpp>

namespace loopserve {

struct contiguous_options {
  index_t max_bytes = 0;  ///< of all sequences together; 0 sets no bound
};

/// Keys and values of a KV head one after the other, (kv_heads, capacity, head_dim): the simplest storage, which reads fastest and forks by copying.
/// Room grows by half of itself where the bound allows it; while it grows, old and new memory lie side by side.
template <class Backend, class Element = bf16>
class contiguous {
 public:
  using backend_type = Backend;
  using element_type = Element;
  using options = contiguous_options;

  static constexpr index_t element_bytes = sizeof(Element);

  /// The bytes that one sequence of `tokens`, reserved at once, takes.
  static index_t planned_bytes(cache_shape shape, options const&, int tokens) {
    return index_t{2} * shape.layers * shape.kv_heads * rounded(tokens) * shape.head_dim * element_bytes;
  }

  contiguous(Backend& backend, cache_shape shape, options o = {}) : backend_(&backend), shape_(shape), options_(o) {}

  sequence_id open() { return sequences_.add(fresh(0)); }
  void release(sequence_id id) { sequences_.remove(id); }

  sequence_id fork(sequence_id id) {
    auto const& parent = sequences_.at(id);
    check_room(bytes_for(parent.longest()));
    auto child = fresh(parent.longest());
    copy_rows(parent, child);
    return sequences_.add(std::move(child));
  }

  void reserve(sequence_id id, int tokens) {
    auto& now = sequences_.at(id);
    if (tokens <= now.capacity) { return; }
    auto capacity = rounded(std::max(tokens, now.capacity + now.capacity / 2));
    if (!fits(bytes_for(capacity) - bytes_for(now.capacity))) { capacity = tokens; }
    check_room(bytes_for(capacity) - bytes_for(now.capacity));
    auto grown = fresh(capacity);
    copy_rows(now, grown);
    now = std::move(grown);
  }

  /// Reserves by itself, with capacity_error, where reserve() was not called before.
  void append(sequence_id id, int layer, tensor_view<float const, 3> k, tensor_view<float const, 3> v) {
    check(k.extent(1) == shape_.kv_heads && k.extent(2) == shape_.head_dim, "keys to append are (rows, kv_heads, head_dim)");
    check(v.extents() == k.extents(), "values to append are as many as the keys");
    auto const at = static_cast<std::size_t>(layer);
    int const first = sequences_.at(id).layers.at(at).tokens;
    int const rows = static_cast<int>(k.extent(0));
    reserve(id, first + rows);
    auto& to = sequences_.at(id).layers[at];
    page_table_view<Element> table{to.table.data(), 1, one_page, shape_.head_dim};
    store_rows(*backend_, k, table, first);
    table.pages += shape_.kv_heads;
    store_rows(*backend_, v, table, first);
    to.tokens += rows;
  }

  /// The room stays with the sequence.
  void truncate(sequence_id id, int tokens) {
    check(tokens >= 0, "a sequence cannot be cut to a negative length");
    for (auto& layer : sequences_.at(id).layers) { layer.tokens = std::min(layer.tokens, tokens); }
  }

  int length(sequence_id id, int layer) const { return sequences_.at(id).layers.at(static_cast<std::size_t>(layer)).tokens; }

  kv_view<Element> view(sequence_id id, int layer) const {
    auto const& from = sequences_.at(id).layers.at(static_cast<std::size_t>(layer));
    kv_view<Element> kv;
    kv.key_pages = from.table.data();
    kv.value_pages = from.table.data() + shape_.kv_heads;
    kv.page_table_stride = 1;
    kv.page_shift = one_page;
    kv.row_stride = shape_.head_dim;
    kv.kv_heads = shape_.kv_heads;
    kv.head_dim = shape_.head_dim;
    kv.tokens = from.tokens;
    return kv;
  }

  index_t bytes() const {
    index_t sum = 0;
    sequences_.for_each([&](sequence const& s) { sum += bytes_of(s); });
    return sum;
  }
  index_t bytes(sequence_id id) const { return bytes_of(sequences_.at(id)); }

 private:
  static constexpr int one_page = 30;
  static int rounded(int tokens) { return (tokens + 63) / 64 * 64; }

  struct layer_rows {
    int tokens = 0;
    typename Backend::template buffer<Element> memory;  // (keys and values, kv_heads, capacity, head_dim)
    typename Backend::template buffer<Element*> table;  // (keys and values, kv_heads)
  };
  struct sequence {
    int capacity = 0;
    std::vector<layer_rows> layers;
    int longest() const {
      int n = 0;
      for (auto const& layer : layers) { n = std::max(n, layer.tokens); }
      return n;
    }
  };

  sequence fresh(int capacity) {
    sequence s;
    s.capacity = capacity;
    index_t const head_elements = index_t{capacity} * shape_.head_dim;
    std::vector<Element*> table(static_cast<std::size_t>(2 * shape_.kv_heads));
    for (int l = 0; l < shape_.layers; ++l) {
      layer_rows layer;
      layer.memory = backend_->template make_buffer<Element>(2 * shape_.kv_heads * head_elements);
      layer.table = backend_->template make_buffer<Element*>(2 * shape_.kv_heads);
      for (std::size_t i = 0; i < table.size(); ++i) { table[i] = capacity > 0 ? layer.memory.data() + static_cast<index_t>(i) * head_elements : nullptr; }
      upload(*backend_, table.data(), static_cast<index_t>(table.size()), layer.table.data());
      s.layers.push_back(std::move(layer));
    }
    return s;
  }

  void copy_rows(sequence const& from, sequence& to) {
    for (std::size_t l = 0; l < from.layers.size(); ++l) {
      to.layers[l].tokens = from.layers[l].tokens;
      index_t const count = index_t{from.layers[l].tokens} * shape_.head_dim;
      if (count == 0) { continue; }
      for (index_t head = 0; head < 2 * shape_.kv_heads; ++head) {
        copy_elements(*backend_, from.layers[l].memory.data() + head * from.capacity * shape_.head_dim, count,
                      to.layers[l].memory.data() + head * to.capacity * shape_.head_dim);
      }
    }
  }

  index_t bytes_for(int capacity) const {
    return index_t{2} * shape_.layers * shape_.kv_heads * capacity * shape_.head_dim * static_cast<index_t>(sizeof(Element));
  }
  static index_t bytes_of(sequence const& s) {
    index_t sum = 0;
    for (auto const& layer : s.layers) { sum += layer.memory.bytes(); }
    return sum;
  }

  bool fits(index_t more) const { return options_.max_bytes <= 0 || bytes() + more <= options_.max_bytes; }
  void check_room(index_t more) const {
    if (fits(more)) { return; }
    throw capacity_error("the KV storage holds " + std::to_string(bytes()) + " bytes, needs " + std::to_string(more) + " more and may hold " +
                         std::to_string(options_.max_bytes));
  }

  Backend* backend_;
  cache_shape shape_;
  options options_;
  sequence_table<sequence> sequences_;
};

}  // namespace loopserve
