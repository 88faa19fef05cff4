// SPDX-License-Identifier: Apache-2.0
/// What the emulator finds: kernels with one mistake each. Mistakes that it names are errors of the launch; the others show in the results of at least one
/// schedule, as they do in the tests of real kernels. What blocks do to each other: catches_races.cpp.
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <string>
#include <vector>

#include <loopserve/dev/reduce.hpp>

#include "emulator/emulated.hpp"
#include "told.hpp"

using namespace loopserve;
using namespace simt_test;

namespace {

constexpr int count = 128;

/// How many schedules give the expected numbers, and how many there are.
struct outcome {
  int right = 0, all = 0;
  bool caught() const { return right < all; }
};

template <class Kernel>
outcome reverses(grid blocks = {}) {
  outcome seen;
  for (auto const& order : simt::schedules()) {
    emulated const b(order);
    index_t const n = index_t{count} * blocks.x;
    std::vector<float> x(static_cast<std::size_t>(n)), got(x.size()), want(x.size());
    for (index_t i = 0; i < n; ++i) {
      x[static_cast<std::size_t>(i)] = static_cast<float>(i);
      want[static_cast<std::size_t>(i / count * count + count - 1 - i % count)] = static_cast<float>(i);
    }
    auto in = b.make_buffer<float>(n), out = b.make_buffer<float>(n);
    b.copy_to_device(in.data(), x.data(), in.bytes());
    b.launch(blocks, Kernel{in.data(), out.data()});
    b.copy_to_host(got.data(), out.data(), out.bytes());
    seen.right += got == want ? 1 : 0;
    ++seen.all;
  }
  return seen;
}

enum class mistake { none, no_barrier, no_wait, no_commit, no_barrier_after_wait, overwritten_too_early };

template <mistake Made>
struct reverse_kernel {
  static constexpr int threads = count;
  struct shared_layout {
    float row[count];
  };
  float const* in;
  float* out;

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = dev::shared<shared_layout>();
    int const t = dev::thread();
    index_t const base = index_t{dev::block().x} * count;
    shared.row[t] = dev::load(in + base + t);
    if constexpr (Made != mistake::no_barrier) { dev::barrier(); }
    float const mine = shared.row[count - 1 - t];
    if constexpr (Made == mistake::overwritten_too_early) { shared.row[t] = -1; }
    dev::store(out + base + t, mine);
  }
};

template <mistake Made>
struct reverse_by_copy_kernel {
  static constexpr int threads = count;
  struct shared_layout {
    float row[count];
  };
  float const* in;
  float* out;

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = dev::shared<shared_layout>();
    int const t = dev::thread();
    index_t const base = index_t{dev::block().x} * count;
    dev::copy_async<4>(&shared.row[t], in + base + t);
    if constexpr (Made != mistake::no_commit) { dev::copy_commit(); }
    if constexpr (Made != mistake::no_wait) { dev::copy_wait<0>(); }
    if constexpr (Made != mistake::no_barrier_after_wait) { dev::barrier(); }
    dev::store(out + base + t, shared.row[count - 1 - t]);
  }
};

}  // namespace

TEST_CASE("a kernel without a mistake is right under every schedule") {
  CHECK_FALSE(reverses<reverse_kernel<mistake::none>>({3}).caught());
  CHECK_FALSE(reverses<reverse_by_copy_kernel<mistake::none>>({3}).caught());
}

TEST_CASE("a missing barrier shows") {
  CHECK(reverses<reverse_kernel<mistake::no_barrier>>().caught());
  CHECK(reverses<reverse_kernel<mistake::overwritten_too_early>>().caught());
  CHECK(reverses<reverse_by_copy_kernel<mistake::no_barrier_after_wait>>().caught());
}

TEST_CASE("a copy that nobody waits for is named") {
  float* const nowhere = nullptr;
  emulated const b;
  auto in = b.make_buffer<float>(count), out = b.make_buffer<float>(count);
  says(told(reverse_by_copy_kernel<mistake::no_wait>{in.data(), out.data()}), "ends while asynchronous copies are under way (catches.cpp");
  says(told(reverse_by_copy_kernel<mistake::no_commit>{in.data(), out.data()}), "ends while asynchronous copies are under way");
  says(told(reverse_by_copy_kernel<mistake::none>{nowhere, out.data()}), "neither in device memory");
}

namespace {

/// Two copies, of which the kernel reads the second after it has waited for the first.
struct waits_for_one_of_two {
  static constexpr int threads = 32;
  struct shared_layout {
    float row[2][32];
  };
  float const* in;
  float* out;

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = dev::shared<shared_layout>();
    int const t = dev::thread();
    for (int i = 0; i < 2; ++i) {
      dev::copy_async<4>(&shared.row[i][t], in + t);
      dev::copy_commit();
    }
    dev::copy_wait<1>();
    dev::store(out + t, shared.row[1][t]);
    dev::copy_wait<0>();
  }
};

}  // namespace

TEST_CASE("a wait for too few copies shows as NaN where copies land late") {
  int nan = 0;
  for (auto const& order : simt::schedules()) {
    emulated const b(order);
    std::vector<float> x(32, 1.0F), got(32);
    auto in = b.make_buffer<float>(32), out = b.make_buffer<float>(32);
    b.copy_to_device(in.data(), x.data(), in.bytes());
    b.launch({}, waits_for_one_of_two{in.data(), out.data()});
    b.copy_to_host(got.data(), out.data(), out.bytes());
    CHECK(std::isnan(got[5]) == !order.eager_copies);
    nan += std::isnan(got[5]) ? 1 : 0;
  }
  CHECK(nan > 0);
}

namespace {

enum class divergence { barrier_in_a_branch, early_return, two_barriers, shuffle_in_a_branch, two_collectives };

template <divergence How>
struct divergent {
  static constexpr int threads = 64;
  LOOPSERVE_DEVICE void operator()() const {
    int const t = dev::thread();
    if constexpr (How == divergence::barrier_in_a_branch) {
      if (t < 32) { dev::barrier(); }
    } else if constexpr (How == divergence::early_return) {
      if (t == 63) { return; }
      dev::barrier();
    } else if constexpr (How == divergence::two_barriers) {
      if (t < 32) {
        dev::barrier();
      } else {
        dev::barrier();
      }
    } else if constexpr (How == divergence::shuffle_in_a_branch) {
      if (t % 2 == 0) { dev::shuffle_xor(t, 1); }
    } else {
      if (t % 2 == 0) {
        dev::shuffle_xor(t, 1);
      } else {
        dev::ballot(true);
      }
    }
  }
};

}  // namespace

TEST_CASE("a deadlock is named, with who waits where") {
  auto const text = told(divergent<divergence::barrier_in_a_branch>{});
  says(text, "deadlock");
  says(text, "32 threads wait at the barrier at catches.cpp:");
  says(text, "32 threads have ended");
  says(told(divergent<divergence::early_return>{}), "63 threads wait at the barrier");
  says(told(divergent<divergence::two_barriers>{}), "comes to a barrier while others wait at the one at catches.cpp:");
  says(told(divergent<divergence::shuffle_in_a_branch>{}), "32 threads wait for their warp at catches.cpp:");
  says(told(divergent<divergence::two_collectives>{}), "while other lanes wait");
}

namespace {

struct reads {
  static constexpr int threads = 32;
  float const* at;
  LOOPSERVE_DEVICE void operator()() const {
    if (dev::thread() == 3) { dev::load(at); }
  }
};

struct writes {
  static constexpr int threads = 32;
  float* at;
  LOOPSERVE_DEVICE void operator()() const {
    if (dev::thread() == 3) { dev::store(at, 1.0F); }
  }
};

struct writes_beside_shared {
  static constexpr int threads = 32;
  struct shared_layout {
    float row[33];
  };
  int at;
  LOOPSERVE_DEVICE void operator()() const {
    auto* const row = dev::shared_array<float>(33);
    if (dev::thread() == 0) { row[at] = 1; }
  }
};

struct follows {
  static constexpr int threads = 32;
  float const* at;
  float* to;
  LOOPSERVE_DEVICE void operator()() const {
    float volatile const* const raw = at;
    dev::store(to + dev::thread(), *raw);
  }
};

struct asks_for_shared {
  static constexpr int threads = 32;
  index_t has, wants;
  index_t shared_bytes() const { return has; }
  LOOPSERVE_DEVICE void operator()() const { dev::shared_array<char>(wants); }
};

}  // namespace

TEST_CASE("what lies outside of an allocation is named") {
  emulated const b;
  auto x = b.make_buffer<float>(10);
  CHECK(told(reads{x.data() + 9}).empty());
  says(told(reads{x.data() + 10}), "thread 3: out of bounds: 4 bytes");
  says(told(reads{x.data() - 1}), "out of bounds");
  says(told(writes{x.data() + 10}), "out of bounds");
  says(told(reads{reinterpret_cast<float*>(reinterpret_cast<char*>(x.data()) + 2)}), "2 bytes off its alignment of 4");
  float mine = 0;
  says(told(reads{&mine}), "neither in device memory");
  float const* gone = nullptr;
  {
    auto const y = b.make_buffer<float>(4);
    gone = y.data();
  }
  says(told(reads{gone}), "out of bounds");
  std::vector<float> host(11);
  CHECK_THROWS_AS(b.copy_to_host(host.data(), x.data(), 44), simt::simt_error);
}

TEST_CASE("what is written beside shared memory is named") {
  CHECK(told(writes_beside_shared{32}).empty());
#if !defined(__SANITIZE_ADDRESS__)
  says(told(writes_beside_shared{33}), "beside its shared memory of 132 bytes");
  says(told(writes_beside_shared{-1}), "beside its shared memory");
#endif
  says(told(asks_for_shared{64, 65}), "asks for 65 bytes of shared memory where the launch has 64");
  says(told(asks_for_shared{200000, 1}), "a block has 166912 at most");
}

TEST_CASE("a kernel that touches device memory past the primitives stops, and is told why") {
  emulated const b;
  auto x = b.make_buffer<float>(1), out = b.make_buffer<float>(32);
  int text[2];
  REQUIRE(pipe(text) == 0);
  pid_t const child = fork();
  if (child == 0) {
    dup2(text[1], STDERR_FILENO);
    std::signal(SIGSEGV, SIG_DFL);
    b.launch({}, follows{x.data(), out.data()});
    _exit(0);
  }
  close(text[1]);
  std::string said;
  char part[512];
  for (ssize_t n; (n = read(text[0], part, sizeof part)) > 0;) { said.append(part, static_cast<std::size_t>(n)); }
  close(text[0]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK_FALSE(WIFEXITED(status));
  says(said, "device memory was touched without dev::load");
}

TEST_CASE("grids that no device takes are refused, empty ones do nothing") {
  emulated const b;
  CHECK_THROWS_AS(b.launch({1, 65536}, reads{nullptr}), error);
  CHECK_THROWS_AS(b.launch({-1}, reads{nullptr}), error);
  CHECK_NOTHROW(b.launch({0}, reads{nullptr}));
  CHECK_NOTHROW(b.launch({1, 0, 3}, reads{nullptr}));
  // The emulator would run no block of an empty grid; a device refuses it.
  for (grid const none : {grid{0}, grid{3, 0}, grid{3, 1, 0}}) { CHECK_FALSE(detail::launchable<reads>(none)); }
  CHECK(detail::launchable<reads>({3}));
}

TEST_CASE("a primitive outside of a kernel is refused") { CHECK_THROWS_AS(dev::barrier(), simt::simt_error); }

TEST_CASE("fresh device memory and shared memory are NaN") {
  emulated const b;
  auto x = b.make_buffer<float>(2);
  std::vector<float> seen(2);
  b.copy_to_host(seen.data(), x.data(), x.bytes());
  CHECK(std::isnan(seen[0]));
  CHECK(reverses<reverse_kernel<mistake::no_barrier>>().right == 0);
}
