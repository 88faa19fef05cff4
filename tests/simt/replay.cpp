// SPDX-License-Identifier: Apache-2.0
/// Steps that come again: what a device replays of them does what was asked for, whatever differs from the last time.
#include "device_test.hpp"

#include <stdexcept>
#include <utility>

#include <loopserve/dev/step_recording.hpp>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// out[i] = in[i] + more
struct plus_kernel {
  static constexpr int threads = 32;
  int const* in;
  int* out;
  int count, more;
  LOOPSERVE_DEVICE void operator()() const {
    int const i = dev::block().x * threads + dev::thread();
    if (i < count) { dev::store(out + i, dev::load(in + i) + more); }
  }
};

/// out[i] = in[i] * by
struct times_kernel {
  static constexpr int threads = 32;
  int const* in;
  int* out;
  int count, by;
  LOOPSERVE_DEVICE void operator()() const {
    int const i = dev::block().x * threads + dev::thread();
    if (i < count) { dev::store(out + i, dev::load(in + i) * by); }
  }
};

constexpr int count = 50;

template <class B, class Buffer>
void plus(B const& b, Buffer& x, int more) {
  b.launch({blocks_for(count, plus_kernel::threads)}, plus_kernel{x.data(), x.data(), count, more});
}
template <class B, class Buffer>
void times(B const& b, Buffer& x, int by) {
  b.launch({blocks_for(count, times_kernel::threads)}, times_kernel{x.data(), x.data(), count, by});
}

template <class B, class Buffer>
int all_of(B const& b, Buffer const& x) {
  auto const host = on_host(b, x);
  for (int v : host) {
    if (v != host[0]) { return -1; }
  }
  return host[0];
}

}  // namespace

TEST_CASE("a step that comes again is replayed, with the arguments of this time") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto x = on_device(b, std::vector<int>(count, 0));
    int want = 0;
    for (int i = 0; i < 6; ++i) {
      b.replay(last, [&] {
        plus(b, x, 1);
        times(b, x, i < 4 ? 2 : 3);
        plus(b, x, i);
      });
      want = (want + 1) * (i < 4 ? 2 : 3) + i;
      CHECK(all_of(b, x) == want);
    }
    auto const& c = last.work.counts();
    CHECK(c.steps == 6);
    CHECK(c.replayed == 5);
    CHECK(c.graphs == 1);
    CHECK(c.launches == 5);
    CHECK(c.patched == 5);  // the last piece at all but the first replay, whose graph is new, and the second one once
    CHECK(c.one_by_one == 3);
  });
}

TEST_CASE("a launch may grow and shrink from step to step") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto x = on_device(b, std::vector<int>(count, 0));
    int want = 0;
    for (int blocks : {2, 2, 1, 2, 2}) {
      b.replay(last, [&] { b.launch({blocks}, plus_kernel{x.data(), x.data(), count, 1}); });
      want += blocks == 2 ? 1 : 0;
      CHECK(on_host(b, x).back() == want);
    }
    CHECK(last.work.counts().replayed == 4);
  });
}

TEST_CASE("what is uploaded in a step is what the host had then, and copies and fills go where this step says") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto x = on_device(b, std::vector<int>(count, 0));
    auto ring = on_device(b, std::vector<int>(4 * count, -1));
    for (int i = 0; i < 9; ++i) {
      b.replay(last, [&] {
        std::vector<int> now(count, 10 * i);
        b.copy_to_device(x.data(), now.data(), x.bytes());
        now.assign(count, -1);
        plus(b, x, 1);
        b.copy_inside(ring.data() + i % 4 * count, x.data(), x.bytes());
        b.fill(ring.data() + (i + 1) % 4 * count, static_cast<unsigned char>(i < 7 ? 0 : 1), x.bytes());
      });
      auto const got = on_host(b, ring);
      CHECK(got[static_cast<std::size_t>(i % 4 * count)] == 10 * i + 1);
      CHECK(got[static_cast<std::size_t>(i % 4 * count + count - 1)] == 10 * i + 1);
      CHECK(got[static_cast<std::size_t>((i + 1) % 4 * count)] == (i < 7 ? 0 : 0x01010101));
    }
    CHECK(last.work.counts().replayed == 8);
    CHECK(last.work.counts().graphs > 1);  // where a fill goes is not changed in a graph
  });
}

TEST_CASE("an upload of the same size changes nothing in a graph") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto x = on_device(b, std::vector<int>(count, 0));
    for (int i = 0; i < 4; ++i) {
      b.replay(last, [&] {
        std::vector<int> const now(count, i);
        b.copy_to_device(x.data(), now.data(), x.bytes());
        plus(b, x, 1);
      });
      CHECK(all_of(b, x) == i + 1);
    }
    CHECK(last.work.counts().replayed == 3);
    CHECK(last.work.counts().patched == 0);
  });
}

TEST_CASE("where a step has another piece of work, more or fewer, it is queued singly from there on, and the recording serves the next") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto x = on_device(b, std::vector<int>(count, 0));
    int want = 0;
    auto const step = [&](int kind) {
      b.replay(last, [&] {
        plus(b, x, 3);
        if (kind == 1) { times(b, x, 2); }
        plus(b, x, kind);
        if (kind != 2) { times(b, x, 2); }
        if (kind == 3) { plus(b, x, 1); }
      });
      want += 3;
      if (kind == 1) { want *= 2; }
      want += kind;
      if (kind != 2) { want *= 2; }
      if (kind == 3) { want += 1; }
      want %= 1 << 20;
      CHECK(all_of(b, x) % (1 << 20) == want);
    };
    for (int kind : {0, 0, 1, 0, 2, 0, 3, 0}) { step(kind); }
    CHECK(last.work.counts().replayed == 4);
    CHECK(last.work.counts().graphs == 1);
    for (int i = 0; i < 5; ++i) { step(1); }  // two that differ, one that is recorded, two replayed
    CHECK(last.work.counts().replayed == 6);
    CHECK(last.work.counts().graphs == 2);
  });
}

TEST_CASE("a host that waits in the middle of a step sees what was asked for before") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto x = on_device(b, std::vector<int>(count, 0));
    int want = 0;
    for (int i = 0; i < 8; ++i) {
      b.replay(last, [&] {
        plus(b, x, i);
        want += i;
        if (i == 3 || i == 6) { CHECK(all_of(b, x) == want); }
        if (i == 4) { b.synchronize(); }
        times(b, x, 2);
        want *= 2;
      });
      CHECK(all_of(b, x) == want);
    }
    CHECK(last.work.counts().replayed == 3);  // 1, 2 and 7; 5 is recorded anew
  });
}

TEST_CASE("what a step brings into pinned memory is there after one wait") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto x = on_device(b, std::vector<int>(count, 0));
    auto brought = b.template make_pinned<int>(count);
    for (int i = 1; i < 5; ++i) {
      b.replay(last, [&] {
        plus(b, x, 1);
        b.copy_to_pinned(brought.data(), x.data(), x.bytes());
        plus(b, x, 1);
      });
      b.synchronize();
      CHECK(brought.data()[0] == 2 * i - 1);
      CHECK(brought.data()[count - 1] == 2 * i - 1);
    }
    CHECK(last.work.counts().replayed == 3);
    CHECK(last.work.counts().patched == 0);
  });
}

TEST_CASE("a long step is cut into graphs, and its arguments stay apart") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto x = on_device(b, std::vector<int>(count, 0));
    int const pieces = 2 * static_cast<int>(detail::pieces_per_graph) + 5;
    int want = 0;
    for (int i = 0; i < 4; ++i) {
      b.replay(last, [&] {
        for (int p = 0; p < pieces; ++p) { plus(b, x, p % 7 + (p == 100 ? i : 0)); }
      });
      for (int p = 0; p < pieces; ++p) { want += p % 7 + (p == 100 ? i : 0); }
      CHECK(all_of(b, x) == want);
    }
    CHECK(last.work.counts().graphs == 3);
    CHECK(last.work.counts().launches == 9);
    CHECK(last.work.counts().patched == 2);
  }, 1);
}

TEST_CASE("memory that a step makes is the next step's, and what it gives up stays until its work is done") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto x = on_device(b, std::vector<int>(count, 0));
    std::vector<int const*> seen;
    for (int i = 0; i < 4; ++i) {
      auto before = on_device(b, std::vector<int>(count, i));
      b.replay(last, [&] {
        auto first = b.template make_buffer<int>(count);
        b.launch({blocks_for(count, 32)}, plus_kernel{before.data(), first.data(), count, 1});
        before = {};
        auto second = b.template make_buffer<int>(count);  // not where `before` was, which is read later
        seen.push_back(first.data());
        seen.push_back(second.data());
        b.launch({blocks_for(count, 32)}, plus_kernel{first.data(), second.data(), count, 1});
        first = {};
        auto third = b.template make_buffer<int>(count);
        b.launch({blocks_for(count, 32)}, plus_kernel{second.data(), third.data(), count, 1});
        b.launch({blocks_for(count, 32)}, plus_kernel{third.data(), x.data(), count, 1});
      });
      CHECK(all_of(b, x) == i + 4);
    }
    for (std::size_t i = 2; i < seen.size(); ++i) { CHECK(seen[i] == seen[i - 2]); }
    CHECK(last.work.counts().replayed == 3);
  });
}

TEST_CASE("a step that throws is forgotten, and the next ones are what was asked for") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto x = on_device(b, std::vector<int>(count, 0));
    for (int i = 0; i < 6; ++i) {
      auto const step = [&] {
        b.replay(last, [&] {
          std::vector<int> const now(count, i);
          b.copy_to_device(x.data(), now.data(), x.bytes());
          if (i == 0 || i == 3) { throw std::runtime_error("no"); }
          plus(b, x, 1);
        });
      };
      if (i == 0 || i == 3) {
        CHECK_THROWS_AS(step(), std::runtime_error);
      } else {
        step();
        CHECK(all_of(b, x) == i + 1);
      }
    }
    CHECK(last.work.counts().replayed == 3);  // 2, 4 and 5
  });
}

TEST_CASE("a product in a step is made anew where its operands are others") {
  each_device([](auto const& b) {
    typename std::remove_cvref_t<decltype(b)>::step last;
    auto const w = on_device(b, converted<bf16>(std::vector<float>{1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}));
    std::vector<decltype(on_device(b, std::vector<bf16>()))> x;
    for (float v : {2.0F, 5.0F}) { x.push_back(on_device(b, converted<bf16>(std::vector<float>(8, v)))); }
    auto out = b.template make_buffer<float>(2);
    for (std::size_t i = 0; i < 6; ++i) {
      b.replay(last, [&] {
        b.multiply({.type = element_type::bf16, .rows = 1, .inputs = 8, .outputs = 2, .x = x[i / 3].data(), .w = w.data(), .out = out.data(), .out_stride = 2});
      });
      CHECK(on_host(b, out) == std::vector<float>(2, i < 3 ? 2.0F : 5.0F));
    }
    CHECK(last.work.counts().replayed == 5);
    CHECK(last.work.counts().graphs == 2);
  });
}
