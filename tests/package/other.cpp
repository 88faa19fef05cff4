// SPDX-License-Identifier: Apache-2.0
#include "other.hpp"

double product_difference_elsewhere() { return product_difference(); }
loopserve::version_number version_elsewhere() { return loopserve::version; }
