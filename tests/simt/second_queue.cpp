// SPDX-License-Identifier: Apache-2.0
/// Work on a second queue of a device: behind what the first had queued, before what it queues after the join, and in between in no order.
#include <doctest/doctest.h>

#include <span>
#include <vector>

#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/each_job.cuh>
#include <loopserve/serve/second_queue.hpp>

#include "device_test.hpp"
#include "emulator/two_queues.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// to[i] = from[i] + 1. A thread a number.
struct next_kernel {
  static constexpr int threads = 32;
  int const* from;
  int* to;
  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid, grid) const { dev::store(to + dev::thread(), dev::load(from + dev::thread()) + 1); }
};

constexpr two_queues::late all_modes[] = {two_queues::late::neither, two_queues::late::first, two_queues::late::second};

}  // namespace

TEST_CASE("queues are in no order but the one that is asked for") {
  for (bool const ordered : {false, true}) {
    for (auto const late : {two_queues::late::first, two_queues::late::second}) {
      two_queues::which = late;
      two_queues const first, second = beside(first);
      auto const& writes = late == two_queues::late::first ? first : second;
      auto const& reads = late == two_queues::late::first ? second : first;
      auto x = first.make_buffer<int>(4), y = first.make_buffer<int>(4);
      first.fill(x.data(), 0, x.bytes());
      first.synchronize();
      std::vector<int> const ones(4, 1);
      writes.copy_to_device(x.data(), ones.data(), x.bytes());
      if (ordered) { run_after(reads, writes); }
      reads.copy_inside(y.data(), x.data(), y.bytes());
      CHECK(on_host(reads, y) == std::vector<int>(4, ordered ? 1 : 0));
      CHECK(on_host(writes, x) == ones);
    }
  }
  two_queues::which = two_queues::late::neither;
}

TEST_CASE("a late queue keeps what it will read, and memory that it will use, until it has caught up") {
  two_queues::which = two_queues::late::first;
  two_queues const b;
  two_queues::which = two_queues::late::neither;
  auto& memory = simt::device_memory::instance();
  auto y = b.make_buffer<int>(32);
  b.synchronize();
  auto const held = memory.held();
  {
    std::vector<int> numbers(32, 5);
    auto x = b.make_buffer<int>(32);
    b.copy_to_device(x.data(), numbers.data(), x.bytes());
    b.launch({}, next_kernel{x.data(), y.data()});
    numbers.assign(32, 0);
  }
  CHECK(memory.held() > held);
  CHECK(on_host(b, y) == std::vector<int>(32, 6));
  CHECK(memory.held() == held);
}

TEST_CASE("jobs on the second queue come behind what the first had queued, their bodies' part too, and before what comes after the join") {
  std::vector<int> const jobs = {0, 1, 2};
  for (auto const late : all_modes) {
    for (int const rounds : {1, 2}) {
      CAPTURE(static_cast<int>(late));
      two_queues::which = late;
      two_queues b;
      second_queue<two_queues> second(b);
      auto x = b.make_buffer<int>(96), y = b.make_buffer<int>(96), z = b.make_buffer<int>(96);
      for (int round = 0; round < rounds; ++round) {
        std::vector<int> const tens(32, 10 * round);
        second.run(b, std::span(jobs), [&](auto& queue, int i) {
          int* const own = x.data() + 32 * i;
          upload(b, tens.data(), 32, own);  // as a policy makes its persistent memory ready
          auto scratch = queue.template make_buffer<int>(32);
          queue.launch({}, next_kernel{own, scratch.data()});
          queue.launch({}, next_kernel{scratch.data(), y.data() + 32 * i});
        });
        second.join(b);
        for (int i : jobs) { b.launch({}, next_kernel{y.data() + 32 * i, z.data() + 32 * i}); }
        CHECK(on_host(b, z) == std::vector<int>(96, 10 * round + 3));
      }
      second.run(b, std::span<int const>(), [](auto&, int) {});
      second.join(b);
    }
  }
  two_queues::which = two_queues::late::neither;
}

TEST_CASE("a backend without a second queue does the jobs itself") {
  emulated b;
  second_queue<emulated> second(b);
  std::vector<int> const jobs = {0};
  auto x = on_device(b, std::vector<int>(32, 1)), y = on_device(b, std::vector<int>(32, 0));
  second.run(b, std::span(jobs), [&](auto& queue, int) { queue.launch({}, next_kernel{x.data(), y.data()}); });
  second.join(b);
  CHECK(on_host(b, y) == std::vector<int>(32, 2));
}
