// SPDX-License-Identifier: Apache-2.0
/// The backend that puts off what jobs launch, apart from the operations that run on it.
#include <cstring>

#include <loopserve/dev/batched.hpp>
#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/each_job.cuh>

#include "device_test.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// to[i] = factor * from[i] + where the block stands in its own grid. A thread a number, blocks in three dimensions.
struct placed_kernel {
  static constexpr int threads = 32;

  int const* from;
  int* to;
  int factor, count;

  index_t shared_bytes() const { return index_t{factor} * threads * static_cast<index_t>(sizeof(int)); }

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid blocks) const {
    auto* const own = dev::shared_array<int>(index_t{factor} * threads);  // as much as this kernel asked for, of the batch's most
    int const place = (block.z * blocks.y + block.y) * blocks.x + block.x, i = place * threads + dev::thread();
    own[(factor - 1) * threads + dev::thread()] = i < count ? dev::load(from + i) : 0;
    dev::barrier();
    if (i < count) { dev::store(to + i, factor * own[(factor - 1) * threads + dev::thread()] + place); }
  }
};
/// The same, and not to be put off.
struct alone_kernel : placed_kernel {
  void run() const = delete;
};
static_assert(batch_kernel_part<placed_kernel> && !batch_kernel_part<alone_kernel>);

struct job {
  grid blocks;
  int factor;
  int count() const { return std::max(0, blocks.x * blocks.y * blocks.z * 32 - 5); }
};
std::vector<job> const ragged = {{{2, 3, 4}, 2}, {{0, 1, 1}, 9}, {{1, 1, 1}, 3}, {{5, 1, 2}, 1}, {{1, 7, 1}, 4}, {{3, 1, 1}, 1}};

std::vector<int> counted(int n, int from) {
  std::vector<int> list;
  for (int i = 0; i < n; ++i) { list.push_back(from + i); }
  return list;
}

/// x twice through the kernel, by way of scratch that is given back in between.
template <class Kernel, class B, class Buffer>
void twice(B const& b, job const& j, Buffer& x) {
  auto middle = b.template make_buffer<int>(j.count());
  b.launch(j.blocks, Kernel{x.data(), middle.data(), j.factor, j.count()});
  b.launch(j.blocks, Kernel{middle.data(), x.data(), j.factor, j.count()});
}

template <class Kernel>
void same_as_alone(index_t scratch_bytes) {
  each_device([&](auto const& b) {
    std::vector<std::vector<int>> want;
    using buffer = decltype(on_device(b, counted(1, 0)));
    std::vector<buffer> got;
    for (std::size_t i = 0; i < ragged.size(); ++i) {
      auto const from = counted(ragged[i].count(), static_cast<int>(1000 * i));
      auto x = on_device(b, from);
      twice<placed_kernel>(b, ragged[i], x);
      want.push_back(on_host(b, x));
      got.push_back(on_device(b, from));
    }
    auto const numbers = counted(static_cast<int>(ragged.size()), 0);
    each_job(
        b, std::span(numbers), [&](auto const& queue, int i) { twice<Kernel>(queue, ragged[static_cast<std::size_t>(i)], got[static_cast<std::size_t>(i)]); }, scratch_bytes);
    for (std::size_t i = 0; i < got.size(); ++i) { CHECK(on_host(b, got[i]) == want[i]); }
  });
}

}  // namespace

TEST_CASE("jobs of other grids, of no block too, in one launch: each block knows its place in its own grid, and has the shared memory that it asked for") {
  same_as_alone<placed_kernel>(batch_scratch_bytes);
  same_as_alone<placed_kernel>(2000);  // a batch of two or three jobs
  same_as_alone<placed_kernel>(0);     // each by itself
}

TEST_CASE("what is no part of a batch runs in its place") { same_as_alone<alone_kernel>(batch_scratch_bytes); }

TEST_CASE("bytes are filled and copied in their order, whatever the address, with what was launched before and after") {
  struct range {
    int first, bytes;
  };
  std::vector<range> const ranges = {{0, 4100}, {16, 0}, {1, 15}, {15, 40}, {3, 40}, {0, 17}, {16, 16}, {32, 4096}, {5, 1}};
  each_device([&](auto const& b) {
    using buffer = decltype(on_device(b, std::vector<unsigned char>()));
    std::vector<buffer> filled, copied;
    std::vector<unsigned char> const before(4300, 7);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      filled.push_back(on_device(b, before));
      copied.push_back(on_device(b, before));
    }
    auto const numbers = counted(static_cast<int>(ranges.size()), 0);
    each_job(b, std::span(numbers), [&](auto const& queue, int n) {
      auto const i = static_cast<std::size_t>(n);
      auto const r = ranges[i];
      queue.fill(filled[i].data() + r.first, static_cast<unsigned char>(n), r.bytes);
      queue.fill(filled[i].data() + r.first, static_cast<unsigned char>(200 + n), r.bytes);
      queue.copy_inside(copied[i].data() + r.first + i % 2, filled[i].data() + r.first, r.bytes);
      queue.fill(filled[i].data() + r.first, static_cast<unsigned char>(100 + n), r.bytes);
    });
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      auto want = before, moved = before;
      std::fill_n(want.begin() + ranges[i].first, ranges[i].bytes, static_cast<unsigned char>(100 + i));
      std::fill_n(moved.begin() + ranges[i].first + static_cast<int>(i % 2), ranges[i].bytes, static_cast<unsigned char>(200 + i));
      CHECK(on_host(b, filled[i]) == want);
      CHECK(on_host(b, copied[i]) == moved);
    }
  });
}

TEST_CASE("who asks for a value gets what was put off before, and uploads come behind it") {
  each_device([&](auto const& b) {
    batched<std::remove_cvref_t<decltype(b)>> const queue(b);
    static_assert(device_backend<std::remove_cvref_t<decltype(queue)>>);
    auto const one = counted(27, 0), other = counted(27, 90);
    auto x = on_device(b, one), y = on_device(b, one);
    queue.next_job();
    queue.launch({1}, placed_kernel{x.data(), y.data(), 3, 27});
    std::vector<int> seen(27), tripled;
    for (int const i : one) { tripled.push_back(3 * i); }
    CHECK(on_host(b, y) == one);
    download(queue, y.data(), 27, seen.data());
    CHECK(seen == tripled);
    auto pinned = queue.template make_pinned<int>(27);
    queue.fill(y.data(), 2, y.bytes());
    queue.copy_to_pinned(pinned.data(), y.data(), y.bytes());
    queue.synchronize();
    CHECK(std::vector<int>(pinned.data(), pinned.data() + 27) == std::vector<int>(27, 0x02020202));
    queue.launch({1}, placed_kernel{x.data(), y.data(), 2, 27});
    upload(queue, other.data(), 27, x.data());
    for (int& i : tripled) { i = i / 3 * 2; }
    CHECK(on_host(b, y) == tripled);
    queue.fill(x.data(), 0, x.bytes());
    queue.launch({1}, alone_kernel{x.data(), y.data(), 1, 27});  // no part of a batch
    CHECK(on_host(b, y) == std::vector<int>(27, 0));
    queue.fill(y.data(), 1, y.bytes());
    queue.synchronize();
    CHECK(on_host(b, y) == std::vector<int>(27, 0x01010101));
    CHECK(queue.multiprocessors() == b.multiprocessors());
    CHECK(queue.faults() == b.faults());
  });
}

TEST_CASE("what a job gives back serves that job again and no other, and stays until the kernels are queued") {
  each_device([&](auto const& b) {
    batched<std::remove_cvref_t<decltype(b)>> const queue(b);
    queue.next_job();
    int* first = nullptr;
    {
      auto scratch = queue.template make_buffer<int>(100);
      first = scratch.data();
      CHECK(queue.template make_buffer<int>(100).data() != first);
    }
    CHECK(queue.template make_buffer<int>(100).data() == first);
    CHECK(queue.held_bytes() == 800);
    queue.next_job();
    auto kept = queue.template make_buffer<int>(100);
    CHECK(kept.data() != first);
    CHECK(queue.held_bytes() == 1200);
    queue.run();
    CHECK(queue.held_bytes() == 400);
    queue.fill(kept.data(), 0, kept.bytes());
    queue.run();
    std::vector<int> seen(100, 1);
    b.copy_to_host(seen.data(), kept.data(), kept.bytes());
    CHECK(seen == std::vector<int>(100, 0));
    kept = {};
    queue.run();
    CHECK(queue.held_bytes() == 0);
    CHECK_THROWS_AS(queue.template make_buffer<int>(-1), error);
    CHECK(queue.template make_buffer<int>(0).data() == nullptr);
  });
}

#if !LOOPSERVE_CUDA_COMPILER
namespace {

/// Counts launches and uploads.
struct counting : emulated {
  template <device_kernel Kernel>
  void launch(grid blocks, Kernel const& kernel) const {
    ++*counts;
    emulated::launch(blocks, kernel);
  }
  void copy_to_device(void* to, void const* from, index_t bytes) const {
    ++*sent;
    emulated::copy_to_device(to, from, bytes);
  }
  std::shared_ptr<int> counts = std::make_shared<int>(0), sent = std::make_shared<int>(0);
};

}  // namespace

TEST_CASE("ten jobs of the same launches take the launches of one and one upload, and a longer job among them those of the longer one") {
  counting const b;
  auto x = b.make_buffer<int>(32 * 11);
  b.fill(x.data(), 0, x.bytes());
  auto const numbers = counted(11, 0);
  for (bool const longer : {false, true}) {
    *b.counts = *b.sent = 0;
    each_job(b, std::span(numbers), [&](auto const& queue, int i) {
      int* const own = x.data() + 32 * i;
      queue.fill(own, 1, 128);
      for (int round = 0; round < (longer && i % 4 == 2 ? 3 : 1); ++round) { queue.launch({1}, placed_kernel{own, own, 1, 32}); }
      queue.fill(own, 2, 128);
    });
    CHECK(*b.sent == 1);
    // The longer jobs' second kernel comes behind the second fill, which is the first job's already.
    CHECK(*b.counts == (longer ? 6 : 3));
  }
  *b.sent = 0;
  each_job(
      b, std::span(numbers).first(10),
      [&](auto const& queue, int) {
        auto scratch = queue.template make_buffer<unsigned char>(1000);
        queue.fill(scratch.data(), 0, scratch.bytes());
      },
      2500);
  CHECK(*b.sent == 4);  // batches of three jobs, and the last
  *b.counts = *b.sent = 0;
  each_job(b, std::span<int const>(), [&](auto const&, int) {});
  CHECK(*b.counts == 0);
  CHECK(*b.sent == 0);
}
#endif
