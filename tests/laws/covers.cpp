// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/testing/cover_laws.hpp>

TEST_CASE_TEMPLATE("the greedy cover keeps the laws", Backend, loopserve::reference, loopserve::cpu) {
  Backend b;
  CHECK_NOTHROW(loopserve::testing::cover_laws(b));
}
