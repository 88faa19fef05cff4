// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <vector>

#include <loopserve/ops/cpu/cpu_ops.hpp>

using namespace loopserve;

namespace {

thread_local index_t heap_bytes = 0, heap_peak_bytes = 0;  // of this thread's new and delete

}  // namespace

// Not inlined: g++ would otherwise take malloc and delete for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* const p = std::malloc(size);
  if (p == nullptr) { throw std::bad_alloc(); }
  heap_bytes += static_cast<index_t>(malloc_usable_size(p));
  heap_peak_bytes = std::max(heap_peak_bytes, heap_bytes);
  return p;
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  heap_bytes -= static_cast<index_t>(malloc_usable_size(p));
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { operator delete(p); }

TEST_CASE("a cover holds what it was planned to hold") {
  int const keys = 3000, rows = 200, sampled = 64;
  std::vector<int> positions(sampled);
  std::vector<float> a(static_cast<std::size_t>(sampled) * keys, 0.0F);
  for (int i = 0; i < sampled; ++i) {
    positions[static_cast<std::size_t>(i)] = keys - rows + 3 * i;
    int const seen = keys - rows + 3 * i + 1;
    std::fill_n(a.begin() + std::ptrdiff_t{i} * keys, seen, 1.0F / static_cast<float>(seen));
  }
  std::vector<int> verticals(keys), slashes(keys);
  int counts[2] = {};
  unsigned char dense = 0;
  float covered = 0;
  cover_view out;
  out.verticals = verticals.data();
  out.slashes = slashes.data();
  out.vertical_count = counts;
  out.slash_count = counts + 1;
  out.dense = &dense;
  out.covered = &covered;
  auto const held_by = [&](auto const& backend) {
    index_t const before = heap_bytes;
    heap_peak_bytes = before;
    cover_lines(backend, tensor_view<float const, 2>(a.data(), {sampled, keys}), positions, rows, {.alpha = 0.5}, out);
    CHECK(covered >= 0.5F);
    return heap_peak_bytes - before;
  };
  index_t const planned = detail::cover_bytes(keys), slack = 256;  // what malloc rounds up
  for (index_t bytes : {held_by(reference(1)), held_by(cpu(1))}) {
    CHECK(bytes >= planned);
    CHECK(bytes <= planned + slack);
  }
}
