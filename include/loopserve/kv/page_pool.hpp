// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/error.hpp>

namespace loopserve {

/// Equal pages with reference counts, cut from slabs of the backend's memory. A slab none of whose pages is referred to goes back at once.
/// Pages are taken from the lowest slab that has one, so slabs empty as sequences end.
template <class Backend, class Element>
class page_pool {
 public:
  /// `max_bytes` = 0 sets no bound.
  page_pool(Backend& backend, index_t page_elements, int slab_pages, index_t max_bytes)
      : backend_(&backend), page_elements_(page_elements), slab_pages_(slab_pages), max_bytes_(max_bytes) {
    check(slab_pages > 0, "a slab holds at least one page");
  }

  /// Makes sure that the next `pages` calls of take() succeed. Throws capacity_error and changes nothing where they would not.
  void prepare(index_t pages) {
    if (pages <= free_pages_) { return; }
    index_t const fresh = (pages - free_pages_ + slab_pages_ - 1) / slab_pages_;
    if (max_bytes_ > 0 && bytes() + fresh * slab_bytes() > max_bytes_) {
      throw capacity_error("the KV storage holds " + std::to_string(bytes()) + " bytes, needs " + std::to_string(fresh * slab_bytes()) + " more and may hold " +
                           std::to_string(max_bytes_));
    }
    std::vector<slab> slabs;
    for (index_t i = 0; i < fresh; ++i) {
      slab s;
      s.memory = backend_->template make_buffer<Element>(page_elements_ * slab_pages_);
      s.references.assign(static_cast<std::size_t>(slab_pages_), 0);
      for (int p = slab_pages_ - 1; p >= 0; --p) { s.free.push_back(p); }
      slabs.push_back(std::move(s));
    }
    for (auto& s : slabs) { place(std::move(s)); }
  }

  /// A page that one owner refers to; its content is not set.
  int take() {
    prepare(1);
    int const at = *open_.begin();
    auto& s = slabs_[static_cast<std::size_t>(at)];
    int const page = s.free.back();
    s.free.pop_back();
    s.references[static_cast<std::size_t>(page)] = 1;
    --free_pages_;
    if (s.free.empty()) { open_.erase(open_.begin()); }
    return at * slab_pages_ + page;
  }

  /// One owner more.
  void share(int page) { ++references(page); }

  /// One owner less; the last one's page becomes free.
  void drop(int page) {
    if (--references(page) > 0) { return; }
    int const at = page / slab_pages_;
    auto& s = slabs_[static_cast<std::size_t>(at)];
    s.free.push_back(page % slab_pages_);
    ++free_pages_;
    if (static_cast<int>(s.free.size()) < slab_pages_) {
      open_.insert(at);
      return;
    }
    free_pages_ -= slab_pages_;
    open_.erase(at);
    s = slab{};
    vacant_.push_back(at);
    --held_;
  }

  bool shared(int page) const { return const_cast<page_pool&>(*this).references(page) > 1; }
  Element* data(int page) { return slabs_[static_cast<std::size_t>(page / slab_pages_)].memory.data() + page % slab_pages_ * page_elements_; }

  index_t page_elements() const { return page_elements_; }
  index_t page_bytes() const { return page_elements_ * static_cast<index_t>(sizeof(Element)); }
  index_t slab_bytes() const { return page_bytes() * slab_pages_; }
  /// Of all slabs held, free pages included: what the backend's memory really gave.
  index_t bytes() const { return held_ * slab_bytes(); }
  index_t free_pages() const { return free_pages_; }

 private:
  struct slab {
    typename Backend::template buffer<Element> memory;
    std::vector<int> references;
    std::vector<int> free;
  };

  int& references(int page) { return slabs_[static_cast<std::size_t>(page / slab_pages_)].references[static_cast<std::size_t>(page % slab_pages_)]; }

  void place(slab s) {
    int at = static_cast<int>(slabs_.size());
    if (vacant_.empty()) {
      slabs_.push_back(std::move(s));
    } else {
      at = vacant_.back();
      vacant_.pop_back();
      slabs_[static_cast<std::size_t>(at)] = std::move(s);
    }
    open_.insert(at);
    free_pages_ += slab_pages_;
    ++held_;
  }

  Backend* backend_;
  index_t page_elements_;
  int slab_pages_;
  index_t max_bytes_;
  std::vector<slab> slabs_;
  std::vector<int> vacant_;  // places in slabs_ whose memory went back
  std::set<int> open_;       // slabs with a free page
  index_t free_pages_ = 0;
  index_t held_ = 0;
};

}  // namespace loopserve
