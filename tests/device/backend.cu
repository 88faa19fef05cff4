// SPDX-License-Identifier: Apache-2.0
/// What the cuda backend is besides operations: memory in the stream's order, errors, streams of the caller's.
#include "device_test.hpp"

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
  cuda_check(cudaStreamCreate(&mine), "making a stream");
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
  b.launch({}, large_shared_kernel{x.data(), 100 * 1024});
  CHECK(on_host(b, x)[0] == 7);
  CHECK_THROWS_AS(b.launch({}, large_shared_kernel{x.data(), 1000 * 1024}), cuda_error);
  b.synchronize();  // the error was told and is gone
}

TEST_CASE("memory that is not to be had is a capacity_error") {
  cuda const b;
  CHECK_THROWS_AS(b.make_buffer<char>(index_t{1} << 50), capacity_error);
  CHECK(b.make_buffer<char>(0).data() == nullptr);
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
