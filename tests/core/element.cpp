// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>
#include <limits>

#include <loopserve/core/element.hpp>

using loopserve::bf16;
using loopserve::f16;

namespace {

template <class Half>
Half from_bits(int bits) {
  Half h;
  h.bits = static_cast<std::uint16_t>(bits);
  return h;
}

/// The finite value next above a finite non-negative one.
template <class Half>
float above(int bits) {
  return from_bits<Half>(bits + 1);
}

}  // namespace

TEST_CASE_TEMPLATE("every 16-bit pattern survives the way to float and back", Half, bf16, f16) {
  for (int bits = 0; bits <= 0xffff; ++bits) {
    auto const h = from_bits<Half>(bits);
    float const value = h;
    auto const back = Half(value);
    if (std::isnan(value)) {
      CHECK(std::isnan(static_cast<float>(back)));
      CHECK((back.bits & 0x8000) == (h.bits & 0x8000));
    } else {
      CHECK(back.bits == h.bits);
    }
  }
}

TEST_CASE_TEMPLATE("between two neighbours the nearer one is taken, and the even one in the middle", Half, bf16, f16) {
  for (int bits = 0; bits < 0x7fff; ++bits) {
    float const low = from_bits<Half>(bits);
    float const high = above<Half>(bits);
    if (!std::isfinite(low) || !std::isfinite(high)) { continue; }
    float const middle = static_cast<float>((static_cast<double>(low) + high) / 2);
    for (float sign : {1.0F, -1.0F}) {
      int const s = sign < 0 ? 0x8000 : 0;
      CHECK(Half(sign * std::nextafter(middle, 0.0F)).bits == (bits | s));
      CHECK(Half(sign * middle).bits == ((bits + (bits & 1)) | s));
      CHECK(Half(sign * std::nextafter(middle, std::numeric_limits<float>::infinity())).bits == ((bits + 1) | s));
    }
  }
}

TEST_CASE("what is too large for a type becomes infinity") {
  CHECK(std::isinf(static_cast<float>(f16(65520.0F))));
  CHECK(static_cast<float>(f16(65519.996F)) == 65504.0F);
  CHECK(std::isinf(static_cast<float>(bf16(std::numeric_limits<float>::max()))));
  CHECK(std::isinf(static_cast<float>(f16(-std::numeric_limits<float>::infinity()))));
}
