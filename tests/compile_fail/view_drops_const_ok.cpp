// SPDX-License-Identifier: Apache-2.0
// A view of float serves where one of float const is asked for.
#include <loopserve/core/tensor_view.hpp>

loopserve::tensor_view<float const, 2> f(loopserve::tensor_view<float, 2> x) { return x; }
