// SPDX-License-Identifier: Apache-2.0
/// What the cuda backend is besides operations: memory in the stream's order, errors, streams of the caller's.
#include "device_test.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// out[i] = in[i] + 1
struct increment_kernel {
  static constexpr int threads = 128;
  int const* in;
  int* out;
  int count;
  LOOPSERVE_DEVICE void operator()() const {
    int const i = dev::block().x * threads + dev::thread();
    if (i < count) { dev::store(out + i, dev::load(in + i) + 1); }
  }
};

/// sum[i] += in[i]
struct add_kernel {
  static constexpr int threads = 128;
  int const* in;
  int* sum;
  int count;
  LOOPSERVE_DEVICE void operator()() const {
    int const i = dev::block().x * threads + dev::thread();
    if (i < count) { dev::store(sum + i, dev::load(sum + i) + dev::load(in + i)); }
  }
};

struct large_shared_kernel {
  static constexpr int threads = 32;
  int* out;
  index_t bytes;
  index_t shared_bytes() const { return bytes; }
  LOOPSERVE_DEVICE void operator()() const {
    auto* const words = dev::shared_array<int>(bytes / 4);
    words[bytes / 4 - 1] = 7;
    dev::store(out, words[bytes / 4 - 1]);
  }
};

}  // namespace

TEST_CASE("a buffer may go while work that uses it is queued") {
  cuda const b;
  std::vector<int> x(1000, 0);
  auto last = on_device(b, x);
  for (int round = 0; round < 100; ++round) {
    auto next = b.make_buffer<int>(1000);
    b.launch({blocks_for(1000, increment_kernel::threads)}, increment_kernel{last.data(), next.data(), 1000});
    last = std::move(next);
  }
  CHECK(on_host(b, last) == std::vector<int>(1000, 100));
}

TEST_CASE("a buffer outlives its backend") {
  auto const kept = [] { return cuda().make_buffer<float>(10); }();
  CHECK(kept.size() == 10);
}

TEST_CASE("the caller's own stream serves") {
  cudaStream_t mine = nullptr;
  cuda_check(cudaStreamCreateWithFlags(&mine, cudaStreamNonBlocking), "making a stream");
  {
    cuda const b(cuda_options{.device = 0, .stream = mine});
    CHECK(b.stream() == mine);
    auto x = on_device(b, std::vector<int>{1});
    b.launch({}, increment_kernel{x.data(), x.data(), 1});
    CHECK(on_host(b, x) == std::vector<int>{2});
  }
  cuda_check(cudaStreamDestroy(mine), "destroying a stream");
}

TEST_CASE("more shared memory than is given unasked is asked for") {
  cuda const b;
  auto x = b.make_buffer<int>(1);
  b.launch({}, large_shared_kernel{x.data(), 64 * 1024});
  CHECK(on_host(b, x)[0] == 7);
  CHECK_THROWS_AS(b.launch({}, large_shared_kernel{x.data(), 1000 * 1024}), cuda_error);
  b.synchronize();  // the error was told and is gone
}

TEST_CASE("one kernel with more and with less shared memory, in one step and in the next") {
  each_device([](auto const& b) {
    auto x = b.template make_buffer<int>(3);
    typename std::remove_cvref_t<decltype(b)>::step last;
    for (index_t kib : {16, 64, 56, 80, 16, 96}) {
      b.fill(x.data(), 0, x.bytes());
      b.replay(last, [&] {
        b.launch({}, large_shared_kernel{x.data(), kib * 1024});
        b.launch({}, large_shared_kernel{x.data() + 1, 64 * 1024});
        b.launch({}, large_shared_kernel{x.data() + 2, (100 - kib) * 1024});
      });
      CHECK(on_host(b, x) == std::vector<int>{7, 7, 7});
    }
    CHECK(last.work.counts().graphs == 1);  // what a graph is changed to is allowed as well
  });
}

TEST_CASE("memory that is not to be had is a capacity_error, which no later call hears of") {
  each_device([](auto const& b) {
    auto x = on_device(b, std::vector<int>{1});
    CHECK_THROWS_AS(b.template make_buffer<char>(index_t{1} << 50), capacity_error);
    b.launch({}, increment_kernel{x.data(), x.data(), 1});
    typename std::remove_cvref_t<decltype(b)>::step last;
    for (int round = 0; round < 3; ++round) {
      b.replay(last, [&] {
        b.launch({}, increment_kernel{x.data(), x.data(), 1});
        CHECK_THROWS_AS(b.template make_buffer<char>(index_t{1} << 50), capacity_error);
        b.launch({}, increment_kernel{x.data(), x.data(), 1});
      });
      b.synchronize();
    }
    CHECK(on_host(b, x) == std::vector<int>{8});
    CHECK(b.template make_buffer<char>(0).data() == nullptr);
  });
}

TEST_CASE("pinned memory may go in a step that brings something into it") {
  each_device([](auto const& b) {
    auto x = on_device(b, std::vector<int>(1000, 5));
    typename std::remove_cvref_t<decltype(b)>::step last;
    for (int round = 0; round < 4; ++round) {
      b.replay(last, [&] {
        auto brought = b.template make_pinned<int>(1000);
        b.copy_to_pinned(brought.data(), x.data(), x.bytes());
        b.launch({blocks_for(1000, increment_kernel::threads)}, increment_kernel{x.data(), x.data(), 1000});
      });
      b.synchronize();
    }
    CHECK(on_host(b, x) == std::vector<int>(1000, 9));
  });
}

TEST_CASE("uploads from ordinary memory are what it held, however many are on their way") {
  cuda const b;
  auto x = b.make_buffer<int>(1000);
  auto sum = on_device(b, std::vector<int>(1000, 0));
  std::vector<int> now(1000);
  int want = 0;
  for (int round = 0; round < 3000; ++round) {  // 12 MB
    now.assign(1000, round);
    b.copy_to_device(x.data(), now.data(), x.bytes());
    b.launch({blocks_for(1000, add_kernel::threads)}, add_kernel{x.data(), sum.data(), 1000});
    want += round;
  }
  CHECK(on_host(b, sum) == std::vector<int>(1000, want));
}

TEST_CASE("a large upload from ordinary memory is what it held, and so is one from pinned memory once the host has waited") {
  cuda const b;
  index_t const count = (index_t{9} << 20) / 4 + 3;  // more than is ever on its way at once, and no whole number of its parts
  std::vector<int> want(static_cast<std::size_t>(count)), now;
  for (std::size_t i = 0; i < want.size(); ++i) { want[i] = static_cast<int>(i * 2654435761u); }
  now = want;
  auto x = b.make_buffer<int>(count);
  b.copy_to_device(x.data(), now.data(), x.bytes());
  now.assign(now.size(), -1);
  CHECK(on_host(b, x) == want);

  auto pinned = b.make_pinned<int>(count);
  std::copy(want.begin(), want.end(), pinned.data());
  b.fill(x.data(), 0, x.bytes());
  b.copy_to_device(x.data(), pinned.data(), x.bytes());
  CHECK(on_host(b, x) == want);
}
