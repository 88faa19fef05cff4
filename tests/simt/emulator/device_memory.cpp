// SPDX-License-Identifier: Apache-2.0
#include "device_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include <loopserve/core/error.hpp>

namespace loopserve::simt {

namespace {

// A byte's mark: not allocated, allocated and untouched, or touched by block (mark & block_mask) - first_block in the ways that are set.
constexpr std::uint32_t unallocated = 0, untouched = 1, first_block = 2, block_mask = 0x0fffffff;
constexpr std::uint32_t was_read = 1U << 28, was_written = 1U << 29, was_atomic = 1U << 30, by_several = 1U << 31;

void* map(index_t bytes, int protection) {
  void* const memory = mmap(nullptr, static_cast<std::size_t>(bytes), protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) { throw std::bad_alloc(); }
  return memory;
}

}  // namespace

device_memory& device_memory::instance() {
  static device_memory memory;
  return memory;
}

device_memory::device_memory()
    : addresses_(static_cast<char*>(map(capacity, PROT_NONE))),
      bytes_(static_cast<char*>(map(capacity, PROT_READ | PROT_WRITE))),
      touched_(static_cast<std::uint32_t*>(map(capacity * 4, PROT_READ | PROT_WRITE))),
      dirty_(static_cast<std::size_t>(capacity / page)) {}

void* device_memory::allocate(index_t bytes) {
  if (bytes > capacity - 2 * page - next_) { throw capacity_error("cannot allocate " + std::to_string(bytes) + " bytes of device memory"); }
  index_t const first = next_;
  next_ += (bytes + 256 + 255) / 256 * 256;
  std::fill_n(touched_ + first, bytes, untouched);
  std::memset(bytes_ + first, 0xff, static_cast<std::size_t>(bytes));
  allocations_[addresses_ + first] = bytes;
  held_ += bytes;
  peak_ = std::max(peak_, held_);
  return addresses_ + first;
}

void device_memory::free(void* address) {
  retire(address);
  held_ -= size_of(address);
  allocations_.erase(address);
  if (allocations_.empty()) { next_ = page; }
}

void device_memory::retire(void* address) {
  std::fill_n(touched_ + (static_cast<char*>(address) - addresses_), size_of(address), unallocated);
}

void device_memory::revive(void* address, index_t bytes) {
  index_t const first = static_cast<char*>(address) - addresses_;
  std::fill_n(touched_ + first, std::min(bytes, size_of(address)), untouched);
  std::memset(bytes_ + first, 0xff, static_cast<std::size_t>(bytes));
}

index_t device_memory::size_of(void* address) const {
  auto const found = allocations_.find(address);
  if (found == allocations_.end()) {
    std::fputs("emulator: memory was freed that is not allocated\n", stderr);
    std::abort();
  }
  return found->second;
}

void* device_memory::at(void const* address, index_t bytes) const {
  if (!holds(address)) { return nullptr; }
  index_t const first = static_cast<char const*>(address) - addresses_;
  if (bytes < 0 || bytes > capacity - first) { return nullptr; }
  for (index_t i = first; i < first + bytes; ++i) {
    if (touched_[i] == unallocated) { return nullptr; }
  }
  return bytes_ + first;
}

device_memory::verdict device_memory::touch(void const* address, index_t bytes, use how, int block) {
  index_t const first = static_cast<char const*>(address) - addresses_;
  if (first + bytes > capacity) { return verdict::not_allocated; }
  for (index_t i = first / page; i <= (first + bytes - 1) / page; ++i) {
    if (dirty_[static_cast<std::size_t>(i)] == 0) {
      dirty_[static_cast<std::size_t>(i)] = 1;
      dirty_pages_.push_back(i);
    }
  }
  auto const self = static_cast<std::uint32_t>(block) + first_block;
  auto const mine = how == use::read ? was_read : how == use::write ? was_written : was_atomic;
  for (index_t i = first; i < first + bytes; ++i) {
    auto& mark = touched_[i];
    if (mark == unallocated) { return verdict::not_allocated; }
    if (mark == untouched) {
      mark = self | mine;
      continue;
    }
    bool const foreign = (mark & block_mask) != self || (mark & by_several) != 0;
    auto const ways = (mark & (was_read | was_written | was_atomic)) | mine;
    if (foreign && ways != was_read && ways != was_atomic) { return verdict::race; }
    mark |= mine | (foreign ? by_several : 0);
  }
  return verdict::fine;
}

void device_memory::end_launch() {
  for (auto const p : dirty_pages_) {
    dirty_[static_cast<std::size_t>(p)] = 0;
    for (index_t i = p * page; i < (p + 1) * page; ++i) { touched_[i] = std::min(touched_[i], untouched); }
  }
  dirty_pages_.clear();
}

}  // namespace loopserve::simt
