// SPDX-License-Identifier: Apache-2.0
#include "other.hpp"

double sum_of_squares_elsewhere(int n) { return sum_of_squares(n); }
loopserve::version_number version_elsewhere() { return loopserve::version; }
