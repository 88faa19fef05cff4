// SPDX-License-Identifier: Apache-2.0
// expect: (no matching function|invalid initialization of reference).*(mine|add)
// A backend of its own kind, without the overload: there is no silent fall back.
#include <loopserve/ops/add.hpp>

struct mine {};

void f(mine b, loopserve::tensor_view<float const, 2> x, loopserve::tensor_view<float, 2> y) { add(b, x, y); }
