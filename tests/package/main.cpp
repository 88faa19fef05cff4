// SPDX-License-Identifier: Apache-2.0
/// A program of two translation units that both include everything: what is not inline would clash, and what differs between them would show.
#include <cstdio>

#include <loopserve/loopserve.hpp>

#include "other.hpp"

int main() {
  if (sum_of_squares(100) != sum_of_squares_elsewhere(100)) { return 1; }
  if (loopserve::version.minor != version_elsewhere().minor) { return 1; }
  std::puts("two translation units agree");
}
