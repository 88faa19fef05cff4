// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace loopserve {

/// The types of GGUF metadata, with the file's own numbers.
enum class gguf_type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

inline constexpr std::uint32_t gguf_type_count = 13;

constexpr char const* name_of(gguf_type type) {
  constexpr char const* names[gguf_type_count] = {"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};
  return static_cast<std::uint32_t>(type) < gguf_type_count ? names[static_cast<std::uint32_t>(type)] : "?";
}

/// Bytes of a value of fixed size, 0 for strings and arrays.
constexpr std::uint64_t gguf_size_of(gguf_type type) {
  constexpr std::uint64_t sizes[gguf_type_count] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return sizes[static_cast<std::uint32_t>(type)];
}

constexpr bool is_integer(gguf_type type) {
  return type != gguf_type::f32 && type != gguf_type::f64 && type != gguf_type::boolean && type != gguf_type::string && type != gguf_type::array;
}

/// One value of GGUF metadata: it views the file's bytes, which have been checked, and copies nothing.
struct gguf_value {
  gguf_type type = gguf_type::u8;
  gguf_type element = gguf_type::u8;     ///< of an array
  std::uint64_t count = 0;               ///< of an array
  std::span<unsigned char const> bytes;  ///< a number; a string's characters; an array's elements one after the other

  template <class T>
  static T load(unsigned char const* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
  }

  /// A number or bool of fixed-size type `t` at `p`, converted.
  template <class T>
  static T number(gguf_type t, unsigned char const* p) {
    switch (t) {
      case gguf_type::u8: return static_cast<T>(load<std::uint8_t>(p));
      case gguf_type::i8: return static_cast<T>(load<std::int8_t>(p));
      case gguf_type::u16: return static_cast<T>(load<std::uint16_t>(p));
      case gguf_type::i16: return static_cast<T>(load<std::int16_t>(p));
      case gguf_type::u32: return static_cast<T>(load<std::uint32_t>(p));
      case gguf_type::i32: return static_cast<T>(load<std::int32_t>(p));
      case gguf_type::u64: return static_cast<T>(load<std::uint64_t>(p));
      case gguf_type::i64: return static_cast<T>(load<std::int64_t>(p));
      case gguf_type::f32: return static_cast<T>(load<float>(p));
      case gguf_type::f64: return static_cast<T>(load<double>(p));
      case gguf_type::boolean: return static_cast<T>(*p != 0);
      default: return T{};
    }
  }

  std::string_view text() const { return {reinterpret_cast<char const*>(bytes.data()), bytes.size()}; }
};

}  // namespace loopserve
