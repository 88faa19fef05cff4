// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/product.hpp>

namespace loopserve::simt {

/// What the device's library computes, in the same types: products of 16 bit numbers, sums in float32. The pointers are the host's.
void multiply(matrix_product const& product);

}  // namespace loopserve::simt
