// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/testing/sketch_laws.hpp>

namespace ls = loopserve;

TEST_CASE_TEMPLATE("the key sketch keeps the laws", Element, float, ls::bf16, ls::f16) {
  ls::reference reference{1};
  ls::cpu cpu{1};
  CHECK_NOTHROW(ls::testing::sketch_laws<Element>(reference, 1e-6));
  CHECK_NOTHROW(ls::testing::sketch_laws<Element>(cpu, 2e-5));
}

TEST_CASE("f16 bounds are rounded away from the keys") {
  for (float x : {0.0F, -0.0F, 1e-9F, -1e-9F, 1.0001F, -1.0001F, 65504.0F, 70000.0F, -70000.0F, 6e-8F, 2049.0F, -2049.0F}) {
    CHECK((static_cast<float>(ls::detail::f16_down(x)) <= x || x < -65504.0F));
    CHECK(std::isfinite(static_cast<float>(ls::detail::f16_down(x))));
    if (x >= 0) {
      CHECK((static_cast<float>(ls::detail::f16_up(x)) >= x || x > 65504.0F));
      CHECK(std::isfinite(static_cast<float>(ls::detail::f16_up(x))));
    }
  }
  CHECK(static_cast<float>(ls::detail::f16_down(2049.0F)) == 2048.0F);
  CHECK(static_cast<float>(ls::detail::f16_down(-2049.0F)) == -2050.0F);
  CHECK(static_cast<float>(ls::detail::f16_up(2049.0F)) == 2050.0F);
  CHECK(static_cast<float>(ls::detail::f16_up(0.0F)) == 0.0F);
}
