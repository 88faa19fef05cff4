// SPDX-License-Identifier: Apache-2.0
/// The key sketch keeps the laws in a device's memory.
#include "device_test.hpp"

#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/key_sketch.cuh>
#include <loopserve/testing/sketch_laws.hpp>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// A device on which steps come out one unit of f16 too small.
template <class B>
struct rounds_down : B {
  explicit rounds_down(B const& b) : B(b) {}
};

template <class B, class Element>
void sketch_keys(rounds_down<B> const& b, kv_view<Element> kv, int from, int to, key_sketch_view sketch) {
  B const& device = b;
  sketch_keys(device, kv, from, to, sketch);
  index_t const first = index_t{from} * sketch.kv_heads * sketch.head_dim, count = index_t{to - from} * sketch.kv_heads * sketch.head_dim;
  auto steps = testing::downloaded(device, sketch.step + first, count);
  for (auto& step : steps) { step.bits = static_cast<std::uint16_t>(step.bits > 0 ? step.bits - 1 : 0); }
  upload(device, steps.data(), count, sketch.step + first);
}

}  // namespace

TEST_CASE_TEMPLATE("the key sketch on a device keeps the laws", Element, float, bf16, f16) {
  each_device([](auto const& b) { CHECK_NOTHROW(testing::sketch_laws<Element>(b, 2e-5)); }, 1);
}

TEST_CASE("a sketch on a device that breaks a law is told") {
  each_device(
      [](auto const& device) {
        rounds_down const b(device);
        CHECK_THROWS_AS(testing::sketch_laws<f16>(b, 2e-5), testing::law_broken);
      },
      1);
}
