// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include <loopserve/core/element.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/dev/kernel.hpp>
#include <loopserve/dev/vec.hpp>

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "loopserve's kernels need compute capability 8.0 or newer: set CMAKE_CUDA_ARCHITECTURES before project(), for example to 80-real;90a-real (nvcc's own choice is 75)"
#endif

/// The primitives on a CUDA device (compute capability 8.0 and up); what each does stands in dev/host/primitives.hpp.
namespace loopserve::dev {

namespace detail {

template <int Bytes>
struct bits_of;
template <>
struct bits_of<1> {
  using type = unsigned char;
};
template <>
struct bits_of<2> {
  using type = unsigned short;
};
template <>
struct bits_of<4> {
  using type = unsigned int;
};
template <>
struct bits_of<8> {
  using type = uint2;
};
template <>
struct bits_of<16> {
  using type = uint4;
};

inline constexpr unsigned all_lanes = 0xffffffffu;

LOOPSERVE_DEVICE inline std::uint32_t shared_address(void const* p) { return static_cast<std::uint32_t>(__cvta_generic_to_shared(p)); }

LOOPSERVE_DEVICE inline unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char loopserve_shared_memory[];
  return loopserve_shared_memory;
}

}  // namespace detail

// Divided without a sign: one instruction.
LOOPSERVE_DEVICE inline int thread() {
  __builtin_assume(threadIdx.x < 1024);
  return static_cast<int>(threadIdx.x);
}
LOOPSERVE_DEVICE inline int threads() { return static_cast<int>(blockDim.x); }
LOOPSERVE_DEVICE inline int lane() { return static_cast<int>(threadIdx.x % 32); }
LOOPSERVE_DEVICE inline int warp() { return static_cast<int>(threadIdx.x / 32); }
LOOPSERVE_DEVICE inline grid block() { return {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z)}; }
LOOPSERVE_DEVICE inline grid blocks() { return {static_cast<int>(gridDim.x), static_cast<int>(gridDim.y), static_cast<int>(gridDim.z)}; }

LOOPSERVE_DEVICE inline void barrier() { __syncthreads(); }
LOOPSERVE_DEVICE inline void warp_barrier() { __syncwarp(); }

template <class T>
LOOPSERVE_DEVICE T shuffle(T value, int from) {
  return __shfl_sync(detail::all_lanes, value, from);
}
template <class T>
LOOPSERVE_DEVICE T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(detail::all_lanes, value, mask);
}
template <class T>
LOOPSERVE_DEVICE T shuffle_down(T value, int by) {
  return __shfl_down_sync(detail::all_lanes, value, by);
}
template <class T>
LOOPSERVE_DEVICE T shuffle_up(T value, int by) {
  return __shfl_up_sync(detail::all_lanes, value, by);
}
LOOPSERVE_DEVICE inline std::uint32_t ballot(bool yes) { return __ballot_sync(detail::all_lanes, yes); }

// Types of a register's size and full alignment go as one access, whatever their members are.
template <class T>
LOOPSERVE_DEVICE T load(T const* from) {
  if constexpr (alignof(T) == sizeof(T)) {
    using bits = typename detail::bits_of<sizeof(T)>::type;
    return __builtin_bit_cast(T, *reinterpret_cast<bits const*>(from));
  } else {
    return *from;
  }
}
template <class T>
LOOPSERVE_DEVICE void store(T* to, std::type_identity_t<T> value) {
  if constexpr (alignof(T) == sizeof(T)) {
    using bits = typename detail::bits_of<sizeof(T)>::type;
    *reinterpret_cast<bits*>(to) = __builtin_bit_cast(bits, value);
  } else {
    *to = value;
  }
}
template <int N, class T>
LOOPSERVE_DEVICE vec<T, N> load_vec(T const* from) {
  return load(reinterpret_cast<vec<T, N> const*>(from));
}
template <int N, class T>
LOOPSERVE_DEVICE void store_vec(T* to, vec<T, N> value) {
  store(reinterpret_cast<vec<T, N>*>(to), value);
}

template <class Layout>
LOOPSERVE_DEVICE Layout& shared() {
  static_assert(std::is_trivially_copyable_v<Layout> && alignof(Layout) <= 128);
  return *reinterpret_cast<Layout*>(detail::shared_memory());
}
template <class T>
LOOPSERVE_DEVICE T* shared_array(index_t) {
  return reinterpret_cast<T*>(detail::shared_memory());
}

template <int Bytes, int Offset = 0>
LOOPSERVE_DEVICE void copy_async(void* to_shared, void const* from, bool valid = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  int const read = valid ? Bytes : 0;
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0 + %3], [%1], 16, %2;" ::"r"(detail::shared_address(to_shared)), "l"(from), "r"(read), "n"(Offset)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0 + %4], [%1], %2, %3;" ::"r"(detail::shared_address(to_shared)), "l"(from), "n"(Bytes), "r"(read),
                 "n"(Offset)
                 : "memory");
  }
}
LOOPSERVE_DEVICE inline void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Groups>
LOOPSERVE_DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
}

template <int Offset = 0>
LOOPSERVE_DEVICE void load_matrices(std::uint32_t (&out)[4], void const* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4 + %5];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(detail::shared_address(row)), "n"(Offset)
               : "memory");
}
template <int Offset = 0>
LOOPSERVE_DEVICE void load_matrices_transposed(std::uint32_t (&out)[4], void const* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4 + %5];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(detail::shared_address(row)), "n"(Offset)
               : "memory");
}

template <class Element>
LOOPSERVE_DEVICE void multiply_add(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  static_assert(std::is_same_v<Element, bf16> || std::is_same_v<Element, f16>);
  if constexpr (std::is_same_v<Element, bf16>) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

// What core/element.hpp converts by in device code.
LOOPSERVE_DEVICE inline std::uint16_t f16_bits(float value) {
  std::uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
LOOPSERVE_DEVICE inline float of_f16_bits(std::uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

template <class Element>
LOOPSERVE_DEVICE std::uint32_t pack(float low, float high) {
  static_assert(std::is_same_v<Element, bf16> || std::is_same_v<Element, f16>);
  std::uint32_t both;
  if constexpr (std::is_same_v<Element, bf16>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  }
  return both;
}

template <class T>
LOOPSERVE_DEVICE T atomic_add(T* at, std::type_identity_t<T> value) {
  return atomicAdd(at, value);
}
template <class T>
LOOPSERVE_DEVICE T atomic_max(T* at, std::type_identity_t<T> value) {
  return atomicMax(at, value);
}
template <class T>
LOOPSERVE_DEVICE T atomic_min(T* at, std::type_identity_t<T> value) {
  return atomicMin(at, value);
}
template <class T>
LOOPSERVE_DEVICE T atomic_exchange(T* at, std::type_identity_t<T> value) {
  return atomicExch(at, value);
}
template <class T>
LOOPSERVE_DEVICE T atomic_compare_exchange(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return atomicCAS(at, expected, value);
}

LOOPSERVE_DEVICE inline float product(float a, float b) { return __fmul_rn(a, b); }
LOOPSERVE_DEVICE inline int popcount(std::uint64_t bits) { return __popcll(bits); }
LOOPSERVE_DEVICE inline float larger_of(float a, float b) { return fmaxf(a, b); }
LOOPSERVE_DEVICE inline float rsqrt(float x) { return rsqrtf(x); }
LOOPSERVE_DEVICE inline float exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
LOOPSERVE_DEVICE inline float exp(float x) { return __expf(x); }

}  // namespace loopserve::dev
