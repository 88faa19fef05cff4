// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/kv/cache_storage.hpp>
#include <loopserve/kv/page_pool.hpp>
#include <loopserve/kv/sequence_table.hpp>
#include <loopserve/ops/copy.hpp>
#include <loopserve/ops/store_rows.hpp>

namespace loopserve {

struct paged_options {
  index_t max_bytes = 0;  ///< of the pages' memory; 0 sets no bound
  int page_tokens = 64;   ///< a power of two
  int slab_pages = 0;     ///< pages that are allocated at once; 0: one page for every layer and KV head
};

/// Keys and values in pages of one layer and KV head, as vLLM's PagedAttention holds them (Kwon et al., arXiv 2309.06180). A fork refers to its parent's
/// pages; who writes to a page that another refers to, copies it first.
template <class Backend, class Element = bf16>
class paged {
 public:
  using backend_type = Backend;
  using element_type = Element;
  using options = paged_options;
  static constexpr bool sharing = true;  ///< a fork adds no bytes before one side writes

  static constexpr index_t element_bytes = sizeof(Element);

  /// The bytes that one sequence of `tokens` takes in an empty storage.
  static index_t planned_bytes(cache_shape shape, options const& o, int tokens) {
    index_t const slab = o.slab_pages > 0 ? o.slab_pages : std::max(1, shape.layers * shape.kv_heads);
    index_t const pages = (index_t{tokens} + o.page_tokens - 1) / o.page_tokens * shape.layers * shape.kv_heads;
    return (pages + slab - 1) / slab * slab * 2 * o.page_tokens * shape.head_dim * element_bytes;
  }

  paged(Backend& backend, cache_shape shape, options o = {})
      : backend_(&backend),
        shape_(shape),
        page_tokens_(o.page_tokens),
        shift_(std::countr_zero(static_cast<unsigned>(o.page_tokens))),
        pool_(backend, index_t{2} * o.page_tokens * shape.head_dim, o.slab_pages > 0 ? o.slab_pages : std::max(1, shape.layers * shape.kv_heads), o.max_bytes) {
    check(shape.layers >= 0 && shape.kv_heads > 0 && shape.head_dim > 0, "a storage needs at least one KV head and channel");
    check(o.page_tokens > 0 && std::has_single_bit(static_cast<unsigned>(o.page_tokens)), "page_tokens must be a power of two");
  }

  sequence_id open() {
    sequence fresh;
    fresh.resize(static_cast<std::size_t>(shape_.layers));
    return sequences_.add(std::move(fresh));
  }

  void release(sequence_id id) {
    for (auto& layer : sequences_.at(id)) { drop_from(layer, 0); }
    sequences_.remove(id);
  }

  /// Both refer to the same pages, the ones that hold tokens; room that was reserved stays with the parent.
  sequence_id fork(sequence_id id) {
    auto const& parent = sequences_.at(id);
    sequence child;
    for (auto const& from : parent) {
      layer_pages layer;
      layer.tokens = from.tokens;
      layer.pages.assign(from.pages.begin(), from.pages.begin() + pages_for(from.tokens) * shape_.kv_heads);
      grow_table(layer, pages_for(from.tokens));
      child.push_back(std::move(layer));
    }
    for (auto const& layer : child) {
      for (int page : layer.pages) { pool_.share(page); }
    }
    return sequences_.add(std::move(child));
  }

  /// Room for `tokens` in every layer, and the page that comes next to be written no longer shared. A fork() after it shares that page again.
  void reserve(sequence_id id, int tokens) {
    auto& layers = sequences_.at(id);
    index_t need = 0;
    for (auto& layer : layers) {
      need += std::max<index_t>(0, pages_for(tokens) * shape_.kv_heads - static_cast<index_t>(layer.pages.size())) + shared_ahead(layer, tokens);
      layer.pages.reserve(static_cast<std::size_t>(pages_for(tokens) * shape_.kv_heads));
      grow_table(layer, pages_for(tokens));
    }
    pool_.prepare(need);
    for (auto& layer : layers) {
      bool changed = false;
      if (shared_ahead(layer, tokens) > 0) {
        own_last_page(layer);
        changed = true;
      }
      while (static_cast<index_t>(layer.pages.size()) < pages_for(tokens) * shape_.kv_heads) {
        layer.pages.push_back(pool_.take());
        changed = true;
      }
      if (changed) { write_table(layer); }
    }
  }

  /// Reserves by itself, with capacity_error, where reserve() was not called before.
  void append(sequence_id id, int layer, tensor_view<float const, 3> k, tensor_view<float const, 3> v) {
    check_rows(k);
    check_rows(v);
    check(k.extent(0) == v.extent(0), "as many values as keys are appended");
    auto& to = sequences_.at(id).at(static_cast<std::size_t>(layer));
    int const rows = static_cast<int>(k.extent(0));
    if (rows == 0) { return; }
    if (static_cast<index_t>(to.pages.size()) < pages_for(to.tokens + rows) * shape_.kv_heads || shared_ahead(to, to.tokens + rows) > 0) {
      reserve(id, to.tokens + rows);
    }
    page_table_view<Element> table{to.table.data(), to.stride, shift_, shape_.head_dim};
    store_rows(*backend_, k, table, to.tokens);
    table.pages += shape_.kv_heads * to.stride;
    store_rows(*backend_, v, table, to.tokens);
    to.tokens += rows;
  }

  /// Gives the pages behind the new end back, reserved ones too.
  void truncate(sequence_id id, int tokens) {
    check(tokens >= 0, "a sequence cannot be cut to a negative length");
    for (auto& layer : sequences_.at(id)) {
      layer.tokens = std::min(layer.tokens, tokens);
      drop_from(layer, pages_for(layer.tokens));
    }
  }

  int length(sequence_id id, int layer) const { return sequences_.at(id).at(static_cast<std::size_t>(layer)).tokens; }

  kv_view<Element> view(sequence_id id, int layer) const {
    auto const& from = sequences_.at(id).at(static_cast<std::size_t>(layer));
    kv_view<Element> kv;
    kv.key_pages = from.table.data();
    kv.value_pages = from.table.data() + shape_.kv_heads * from.stride;
    kv.page_table_stride = from.stride;
    kv.page_shift = shift_;
    kv.row_stride = shape_.head_dim;
    kv.kv_heads = shape_.kv_heads;
    kv.head_dim = shape_.head_dim;
    kv.tokens = from.tokens;
    return kv;
  }

  /// Of the slabs that are held; page tables, a pointer in 64 tokens, are not counted.
  index_t bytes() const { return pool_.bytes(); }
  index_t bytes(sequence_id id) const {
    index_t pages = 0;
    for (auto const& layer : sequences_.at(id)) { pages += static_cast<index_t>(layer.pages.size()); }
    return pages * pool_.page_bytes();
  }

 private:
  struct layer_pages {
    int tokens = 0;
    std::vector<int> pages;                              // (page, kv_head)
    typename Backend::template buffer<Element*> table;   // (keys and values, kv_heads, stride)
    index_t stride = 0;
  };
  using sequence = std::vector<layer_pages>;

  index_t pages_for(int tokens) const { return (static_cast<index_t>(tokens) + page_tokens_ - 1) / page_tokens_; }

  void check_rows(tensor_view<float const, 3> rows) const {
    check(rows.extent(1) == shape_.kv_heads && rows.extent(2) == shape_.head_dim, "rows to append are (rows, kv_heads, head_dim)");
  }

  /// Pages of an unfinished last page that others refer to and that growing to `tokens` would write.
  index_t shared_ahead(layer_pages const& layer, int tokens) const {
    if (tokens <= layer.tokens || layer.tokens % page_tokens_ == 0) { return 0; }
    index_t shared = 0;
    for (int head = 0; head < shape_.kv_heads; ++head) { shared += pool_.shared(layer.pages[last_page(layer, head)]) ? 1 : 0; }
    return shared;
  }

  std::size_t last_page(layer_pages const& layer, int head) const {
    return static_cast<std::size_t>(layer.tokens / page_tokens_ * shape_.kv_heads + head);
  }

  void own_last_page(layer_pages& layer) {
    for (int head = 0; head < shape_.kv_heads; ++head) {
      int& page = layer.pages[last_page(layer, head)];
      if (!pool_.shared(page)) { continue; }
      int const copy = pool_.take();
      copy_elements(*backend_, static_cast<Element const*>(pool_.data(page)), pool_.page_elements(), pool_.data(copy));
      pool_.drop(page);
      page = copy;
    }
  }

  void drop_from(layer_pages& layer, index_t first_page) {
    auto const keep = static_cast<std::size_t>(first_page * shape_.kv_heads);
    while (layer.pages.size() > keep) {
      pool_.drop(layer.pages.back());
      layer.pages.pop_back();
    }
  }

  void grow_table(layer_pages& layer, index_t pages) {
    if (pages <= layer.stride) { return; }
    auto const stride = std::max(pages, 2 * layer.stride);
    layer.table = backend_->template make_buffer<Element*>(2 * shape_.kv_heads * stride);
    layer.stride = stride;
    write_table(layer);
  }

  void write_table(layer_pages& layer) {
    auto const pages = static_cast<index_t>(layer.pages.size()) / shape_.kv_heads;
    std::vector<Element*> table(static_cast<std::size_t>(2 * shape_.kv_heads * layer.stride), nullptr);
    for (int head = 0; head < shape_.kv_heads; ++head) {
      for (index_t p = 0; p < pages; ++p) {
        Element* const keys = pool_.data(layer.pages[static_cast<std::size_t>(p * shape_.kv_heads + head)]);
        table[static_cast<std::size_t>(head * layer.stride + p)] = keys;
        table[static_cast<std::size_t>((shape_.kv_heads + head) * layer.stride + p)] = keys + index_t{page_tokens_} * shape_.head_dim;
      }
    }
    upload(*backend_, table.data(), static_cast<index_t>(table.size()), layer.table.data());
  }

  Backend* backend_;
  cache_shape shape_;
  int page_tokens_;
  int shift_;
  page_pool<Backend, Element> pool_;
  sequence_table<sequence> sequences_;
};

}  // namespace loopserve
