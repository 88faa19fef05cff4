// SPDX-License-Identifier: Apache-2.0
// A backend that has an operation's overload is taken by it.
#include <loopserve/ops/add.hpp>

struct mine : loopserve::reference {};

void f(mine b, loopserve::tensor_view<float const, 2> x, loopserve::tensor_view<float, 2> y) { add(b, x, y); }
