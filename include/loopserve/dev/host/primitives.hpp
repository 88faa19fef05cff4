// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <loopserve/core/element.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/dev/kernel.hpp>
#include <loopserve/dev/vec.hpp>

/// The primitives as a host compiler sees them, and their contract. The emulator of tests/simt defines them; the last parameter of most is the caller's
/// place in the source, for its messages, and not there on the device.
namespace loopserve::dev {

namespace detail {

enum class access { read, write, atomic };

/// The host memory that stands for `bytes` bytes of device memory, after all checks.
void* reach(void const* address, index_t bytes, index_t alignment, access how, source_place place);

/// All 32 lanes of the warp meet here; the last one calls `combine` with every lane's `mine`.
using combine_lanes = void (*)(void* const (&mine)[32]);
void meet(char const* name, void* mine, combine_lanes combine, source_place place);

void* shared_memory(index_t bytes, index_t alignment, source_place place);
void copy_async(void* to, void const* from, index_t bytes, bool valid, source_place place);
void copy_wait(int groups, source_place place);
void load_matrices(std::uint32_t (&out)[4], void const* row, source_place place);
void load_matrices_transposed(std::uint32_t (&out)[4], void const* row, source_place place);

/// Another block may run here.
void before_atomic();

template <class T, class Change>
T change(T* at, Change change, source_place place) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  before_atomic();
  auto* const here = static_cast<T*>(reach(at, sizeof(T), sizeof(T), access::atomic, place));
  T const old = *here;
  *here = change(old);
  return old;
}

template <class T, int Lanes = 32>
struct shuffled {
  T value;
  int from;
};

}  // namespace detail

/// This thread's number in its block, and the block's size: a multiple of 32, in one dimension.
int thread();
int threads();
inline int lane() { return thread() % 32; }
inline int warp() { return thread() / 32; }
/// This block's place in the grid, and the grid's extents.
grid block();
grid blocks();

/// Waits for all threads of the block, and makes what they wrote visible. All threads must come here, none may have ended.
void barrier(source_place place = here());
/// The same for the warp.
inline void warp_barrier(source_place place = here()) {
  detail::meet(
      "warp_barrier", nullptr, [](void* const(&)[32]) {}, place);
}

/// What lane `from` passes. All 32 lanes of the warp take part in this and the following four. 4 or 8 bytes.
template <class T>
T shuffle(T value, int from, source_place place = here()) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  detail::shuffled<T> mine{value, from & 31};
  detail::meet(
      "shuffle", &mine,
      [](void* const(&lanes)[32]) {
        T values[32];
        for (int i = 0; i < 32; ++i) { values[i] = static_cast<detail::shuffled<T>*>(lanes[i])->value; }
        for (auto* lane : lanes) {
          auto* const its = static_cast<detail::shuffled<T>*>(lane);
          its->value = values[its->from];
        }
      },
      place);
  return mine.value;
}
/// What the lane with `mask` flipped in its number passes.
template <class T>
T shuffle_xor(T value, int mask, source_place place = here()) {
  return shuffle(value, lane() ^ mask, place);
}
/// What the lane `by` higher (lower) passes; the own value where there is none.
template <class T>
T shuffle_down(T value, int by, source_place place = here()) {
  return shuffle(value, lane() + by < 32 ? lane() + by : lane(), place);
}
template <class T>
T shuffle_up(T value, int by, source_place place = here()) {
  return shuffle(value, lane() - by >= 0 ? lane() - by : lane(), place);
}

/// Bit i is set where lane i passes true.
inline std::uint32_t ballot(bool yes, source_place place = here()) {
  std::uint32_t mine = yes ? 1 : 0;
  detail::meet(
      "ballot", &mine,
      [](void* const(&lanes)[32]) {
        std::uint32_t bits = 0;
        for (int i = 0; i < 32; ++i) { bits |= *static_cast<std::uint32_t*>(lanes[i]) << i; }
        for (auto* lane : lanes) { *static_cast<std::uint32_t*>(lane) = bits; }
      },
      place);
  return mine;
}

/// Global memory is touched through these and through atomics, copies and matrices only. The address is a multiple of the size of T's alignment.
template <class T>
T load(T const* from, source_place place = here()) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  T value;
  std::memcpy(static_cast<void*>(&value), detail::reach(from, sizeof(T), alignof(T), detail::access::read, place), sizeof(T));
  return value;
}
template <class T>
void store(T* to, std::type_identity_t<T> value, source_place place = here()) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  std::memcpy(detail::reach(to, sizeof(T), alignof(T), detail::access::write, place), static_cast<void const*>(&value), sizeof(T));
}
/// N neighbours at once; the address is a multiple of their size.
template <int N, class T>
vec<T, N> load_vec(T const* from, source_place place = here()) {
  return load(reinterpret_cast<vec<T, N> const*>(from), place);
}
template <int N, class T>
void store_vec(T* to, vec<T, N> value, source_place place = here()) {
  store(reinterpret_cast<vec<T, N>*>(to), value, place);
}

/// The block's shared memory, whose size the launch sets from the kernel's `shared_layout` or `shared_bytes()`. Its content is undefined at first; it is
/// touched by plain pointers.
template <class Layout>
Layout& shared(source_place place = here()) {
  static_assert(std::is_trivially_copyable_v<Layout>);
  return *static_cast<Layout*>(detail::shared_memory(sizeof(Layout), alignof(Layout), place));
}
/// The same as an array of `count` elements.
template <class T>
T* shared_array(index_t count, source_place place = here()) {
  return static_cast<T*>(detail::shared_memory(count * static_cast<index_t>(sizeof(T)), alignof(T), place));
}

/// Begins to copy Bytes (4, 8 or 16, both addresses multiples of it) from global to shared memory; where not `valid`, zeros are written and nothing is
/// read. What is there before the wait is undefined. `Offset` bytes are added to `to_shared`: that costs no register.
template <int Bytes, int Offset = 0>
void copy_async(void* to_shared, void const* from, bool valid = true, source_place place = here()) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  detail::copy_async(static_cast<unsigned char*>(to_shared) + Offset, from, Bytes, valid, place);
}
/// Ends a group of this thread's copies.
void copy_commit(source_place place = here());
/// Waits until at most `Groups` of this thread's last groups are under way. Other threads see what was copied after a barrier.
template <int Groups>
void copy_wait(source_place place = here()) {
  detail::copy_wait(Groups, place);
}

/// Four 8x8 matrices of 16-bit elements from shared memory: lane l passes the address (16 bytes aligned) of row l % 8 of matrix l / 8, and gets of matrix j
/// the elements (l / 4, 2 * (l % 4) + {0, 1}) in out[j], the first one in the low half. Transposed: the elements (2 * (l % 4) + {0, 1}, l / 4). `Offset` bytes
/// are added to all addresses: that costs no register.
template <int Offset = 0>
void load_matrices(std::uint32_t (&out)[4], void const* row, source_place place = here()) {
  detail::load_matrices(out, static_cast<unsigned char const*>(row) + Offset, place);
}
template <int Offset = 0>
void load_matrices_transposed(std::uint32_t (&out)[4], void const* row, source_place place = here()) {
  detail::load_matrices_transposed(out, static_cast<unsigned char const*>(row) + Offset, place);
}

/// c (16, 8) += a (16, 16) * b (16, 8), Element bf16 or f16, sums in float32. With g = lane / 4 and t = lane % 4 a lane holds
/// a[j] = rows g + 8 * (j % 2), columns 2t + 8 * (j / 2) + {0, 1}; b[j] = rows 2t + 8j + {0, 1}, column g; c[j] = row g + 8 * (j / 2), column 2t + j % 2.
template <class Element>
void multiply_add(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t b0, std::uint32_t b1, source_place place = here()) {
  static_assert(std::is_same_v<Element, bf16> || std::is_same_v<Element, f16>);
  struct operands {
    float c[4];
    std::uint32_t a[4], b[2];
  } mine{{c[0], c[1], c[2], c[3]}, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  detail::meet(
      "multiply_add", &mine,
      [](void* const(&lanes)[32]) {
        auto const half = [](std::uint32_t pair, int which) {
          return static_cast<float>(__builtin_bit_cast(Element, static_cast<std::uint16_t>(pair >> (16 * which))));
        };
        float left[16][16], right[16][8];
        for (int l = 0; l < 32; ++l) {
          auto const& its = *static_cast<operands*>(lanes[l]);
          int const g = l / 4, t = l % 4;
          for (int e = 0; e < 2; ++e) {
            for (int j = 0; j < 4; ++j) { left[g + 8 * (j % 2)][2 * t + 8 * (j / 2) + e] = half(its.a[j], e); }
            for (int j = 0; j < 2; ++j) { right[2 * t + 8 * j + e][g] = half(its.b[j], e); }
          }
        }
        float sums[16][8] = {};
        for (int i = 0; i < 16; ++i) {
          for (int k = 0; k < 16; ++k) {
            for (int j = 0; j < 8; ++j) { sums[i][j] += left[i][k] * right[k][j]; }
          }
        }
        for (int l = 0; l < 32; ++l) {
          auto& its = *static_cast<operands*>(lanes[l]);
          for (int j = 0; j < 4; ++j) { its.c[j] += sums[l / 4 + 8 * (j / 2)][2 * (l % 4) + j % 2]; }
        }
      },
      place);
  for (int j = 0; j < 4; ++j) { c[j] = mine.c[j]; }
}

/// Two numbers as Element bf16 or f16, rounded to nearest, as fragments of matrices hold them: `low` in the low half.
template <class Element>
std::uint32_t pack(float low, float high) {
  static_assert(std::is_same_v<Element, bf16> || std::is_same_v<Element, f16>);
  return Element(low).bits | static_cast<std::uint32_t>(Element(high).bits) << 16;
}

/// Atomics on global or shared memory return what was there before. int, unsigned, unsigned long long; `atomic_add` takes float too.
template <class T>
T atomic_add(T* at, std::type_identity_t<T> value, source_place place = here()) {
  return detail::change(
      at, [&](T old) { return static_cast<T>(old + value); }, place);
}
template <class T>
T atomic_max(T* at, std::type_identity_t<T> value, source_place place = here()) {
  return detail::change(
      at, [&](T old) { return old < value ? value : old; }, place);
}
template <class T>
T atomic_min(T* at, std::type_identity_t<T> value, source_place place = here()) {
  return detail::change(
      at, [&](T old) { return value < old ? value : old; }, place);
}
template <class T>
T atomic_exchange(T* at, std::type_identity_t<T> value, source_place place = here()) {
  return detail::change(
      at, [&](T) { return value; }, place);
}
/// Writes `value` where `expected` is found.
template <class T>
T atomic_compare_exchange(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value, source_place place = here()) {
  return detail::change(
      at, [&](T old) { return old == expected ? value : old; }, place);
}

/// a * b rounded by itself: no compiler joins it with a sum.
inline float product(float a, float b) {
  float rounded = a * b;
  asm("" : "+m"(rounded));
  return rounded;
}

/// How many bits are set.
inline int popcount(std::uint64_t bits) { return std::popcount(bits); }

/// The larger one; the other one, where one is NaN.
inline float larger_of(float a, float b) { return std::fmax(a, b); }

/// 1 / sqrt(x), 2^x and e^x to a few units in the last place, as the device's fast instructions give them; what is subnormal may be 0.
inline float rsqrt(float x) { return 1 / std::sqrt(x); }
inline float exp2(float x) { return std::exp2(x); }
inline float exp(float x) { return std::exp(x); }

}  // namespace loopserve::dev
