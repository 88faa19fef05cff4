// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/config.hpp>

namespace loopserve {

#if LOOPSERVE_DEVICE_CODE
namespace dev {
LOOPSERVE_DEVICE std::uint16_t f16_bits(float value);  // dev/cuda/primitives.cuh
LOOPSERVE_DEVICE float of_f16_bits(std::uint16_t bits);
}  // namespace dev
#endif

namespace detail {

// The builtin and not std::bit_cast, which device code may not call.

/// Round to nearest even; a NaN keeps its sign and stays a quiet NaN.
LOOPSERVE_HOST_DEVICE constexpr std::uint16_t bf16_from_float(float value) {
  auto const bits = __builtin_bit_cast(std::uint32_t, value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return static_cast<std::uint16_t>((bits >> 16) | 0x40u); }
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

LOOPSERVE_HOST_DEVICE constexpr float bf16_to_float(std::uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
}

LOOPSERVE_HOST_DEVICE constexpr std::uint16_t f16_from_float(float value) {
#if LOOPSERVE_DEVICE_CODE
  if (!__builtin_is_constant_evaluated()) { return dev::f16_bits(value); }
#endif
  auto const bits = __builtin_bit_cast(std::uint32_t, value);
  auto const sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  auto const magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return static_cast<std::uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu)); }
  if (magnitude >= 0x477ff000u) { return static_cast<std::uint16_t>(sign | 0x7c00u); }  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {                                                        // below 2^-14: subnormal or zero
    if (magnitude < 0x33000000u) { return sign; }                                       // below 2^-25, and 2^-25 itself ties to zero
    auto const shift = 126u - (magnitude >> 23);
    auto const fraction = (magnitude & 0x7fffffu) | 0x800000u;
    auto const kept = fraction >> shift;
    auto const rest = fraction & ((1u << shift) - 1u);
    auto const half = 1u << (shift - 1u);
    return static_cast<std::uint16_t>(sign | (kept + ((rest > half || (rest == half && (kept & 1u))) ? 1u : 0u)));
  }
  auto const rebased = magnitude - 0x38000000u;
  return static_cast<std::uint16_t>(sign | ((rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13));
}

LOOPSERVE_HOST_DEVICE constexpr float f16_to_float(std::uint16_t bits) {
#if LOOPSERVE_DEVICE_CODE
  if (!__builtin_is_constant_evaluated()) { return dev::of_f16_bits(bits); }
#endif
  auto const sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  auto const exponent = (bits >> 10) & 0x1fu;
  auto const fraction = static_cast<std::uint32_t>(bits & 0x3ffu);
  if (exponent == 0x1fu) { return __builtin_bit_cast(float, sign | 0x7f800000u | (fraction << 13)); }
  if (exponent == 0) {
    auto const value = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  return __builtin_bit_cast(float, sign | ((exponent + 112u) << 23) | (fraction << 13));
}

}  // namespace detail

/// bfloat16: float32's exponent, 8 bits of precision. Conversions round to nearest even.
struct bf16 {
  std::uint16_t bits = 0;
  bf16() = default;
  LOOPSERVE_HOST_DEVICE explicit constexpr bf16(float value) : bits(detail::bf16_from_float(value)) {}
  LOOPSERVE_HOST_DEVICE constexpr operator float() const { return detail::bf16_to_float(bits); }
};

/// IEEE binary16. Conversions round to nearest even and keep subnormals; on a device each is one instruction, which gives every NaN the same bits.
struct f16 {
  std::uint16_t bits = 0;
  f16() = default;
  LOOPSERVE_HOST_DEVICE explicit constexpr f16(float value) : bits(detail::f16_from_float(value)) {}
  LOOPSERVE_HOST_DEVICE constexpr operator float() const { return detail::f16_to_float(bits); }
};

/// How numbers lie in memory. `q8_0` is GGUF's block of 32: one f16 scale, then 32 signed bytes.
enum class element_type : std::uint8_t { f32, f16, bf16, q8_0 };

template <class Element>
inline constexpr element_type element_type_of = element_type::f32;
template <>
inline constexpr element_type element_type_of<bf16> = element_type::bf16;
template <>
inline constexpr element_type element_type_of<f16> = element_type::f16;

constexpr char const* name_of(element_type type) {
  switch (type) {
    case element_type::f32: return "f32";
    case element_type::f16: return "f16";
    case element_type::bf16: return "bf16";
    case element_type::q8_0: return "q8_0";
  }
  return "?";
}

inline constexpr int q8_0_block = 32;        ///< elements in a q8_0 block
inline constexpr int q8_0_block_bytes = 34;  ///< bytes in a q8_0 block

/// The bytes that `count` elements of a row take; a q8_0 row is a multiple of 32 elements.
constexpr std::int64_t bytes_of(element_type type, std::int64_t count) {
  switch (type) {
    case element_type::f32: return 4 * count;
    case element_type::f16:
    case element_type::bf16: return 2 * count;
    case element_type::q8_0: return count / q8_0_block * q8_0_block_bytes;
  }
  return 0;
}

}  // namespace loopserve
