// SPDX-License-Identifier: Apache-2.0
// expect: (could not convert|no viable conversion)
// The other way round would write through what was given for reading.
#include <loopserve/core/tensor_view.hpp>

loopserve::tensor_view<float, 2> f(loopserve::tensor_view<float const, 2> x) { return x; }
