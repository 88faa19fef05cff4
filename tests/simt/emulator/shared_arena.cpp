// SPDX-License-Identifier: Apache-2.0
#include "shared_arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace loopserve::simt {

namespace {
constexpr index_t page = 4096, alignment = 128, strip = 256;
constexpr unsigned char nan_byte = 0xff;
}  // namespace

shared_arena::shared_arena(index_t bytes) : bytes_(bytes) {
  index_t const inside = (bytes + alignment - 1) / alignment * alignment;
  mapped_ = (inside + strip + page - 1) / page * page + page;
  void* const memory = mmap(nullptr, static_cast<std::size_t>(mapped_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(static_cast<char*>(memory) + mapped_ - page, page, PROT_NONE) != 0) { throw std::bad_alloc(); }
  memory_ = static_cast<char*>(memory);
  data_ = memory_ + mapped_ - page - inside;
}

shared_arena::~shared_arena() { munmap(memory_, static_cast<std::size_t>(mapped_)); }

void shared_arena::poison() { std::memset(data_ - strip, nan_byte, static_cast<std::size_t>(memory_ + mapped_ - page - data_ + strip)); }

bool shared_arena::intact() const {
  auto const kept = [](char const* from, char const* to) {
    return std::all_of(from, to, [](char c) { return static_cast<unsigned char>(c) == nan_byte; });
  };
  return kept(data_ - strip, data_) && kept(data_ + bytes_, memory_ + mapped_ - page);
}

}  // namespace loopserve::simt
