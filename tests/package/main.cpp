// SPDX-License-Identifier: Apache-2.0
/// A program of two translation units that both include everything: what is not inline would clash, and what differs between them would show.
#include <cstdio>

#include <loopserve/loopserve.hpp>

#include "other.hpp"

int main() {
  double const difference = product_difference();
  if (!(difference <= 0.05) || difference != product_difference_elsewhere()) {
    std::printf("the products differ by %g\n", difference);
    return 1;
  }
  if (loopserve::version.minor != version_elsewhere().minor) { return 1; }
  std::printf("two translation units agree, products by %s\n", LOOPSERVE_USE_ONEDNN ? "oneDNN" : "Eigen");
}
