// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A test of device code is written once, over `each_device` and the functions below: built by the host compiler it runs under the emulator, in every
/// schedule; built by nvcc (tests/device) it runs on the GPU.

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include <loopserve/core/element.hpp>
#include <loopserve/core/rng.hpp>
#include <loopserve/dev/device_backend.hpp>

#if LOOPSERVE_CUDA_COMPILER
#include <loopserve/dev/cuda/cuda.cuh>
#else
#include "emulator/emulated.hpp"
#endif

namespace loopserve::device_test {

#if LOOPSERVE_CUDA_COMPILER
template <class Body>
void each_device(Body body, int /*schedules*/ = 0) {
  cuda const b;
  body(b);
  b.synchronize();
}
#else
/// Under the last `schedules` of them, where a number is given: for what is long and whose parts run under all elsewhere.
template <class Body>
void each_device(Body body, int schedules = 0) {
  auto const all = simt::schedules();
  for (auto i = schedules > 0 ? all.size() - static_cast<std::size_t>(schedules) : 0; i < all.size(); ++i) {
    auto const& order = all[i];
    INFO(simt::name_of(order));
    emulated const b(order);
    body(b);
    b.synchronize();
  }
}
#endif

/// A copy in the device's memory.
template <class B, class T>
auto on_device(B const& b, std::vector<T> const& from) {
  auto to = b.template make_buffer<T>(static_cast<index_t>(from.size()));
  b.copy_to_device(to.data(), from.data(), to.bytes());
  return to;
}

template <class B, class Buffer>
auto on_host(B const& b, Buffer const& from) {
  std::vector<typename Buffer::value_type> to(static_cast<std::size_t>(from.size()));
  b.copy_to_host(to.data(), from.data(), from.bytes());
  return to;
}

/// Uniform in [-scale, scale].
inline std::vector<float> numbers(index_t count, std::uint64_t seed, double scale = 1) {
  counter_rng const draw{seed};
  std::vector<float> v(static_cast<std::size_t>(count));
  for (index_t i = 0; i < count; ++i) {
    v[static_cast<std::size_t>(i)] = static_cast<float>((draw.uniform(static_cast<std::uint64_t>(i)) * 2 - 1) * scale);
  }
  return v;
}

template <class To, class From>
std::vector<To> converted(std::vector<From> const& from) {
  std::vector<To> to;
  for (auto const x : from) { to.push_back(static_cast<To>(static_cast<float>(x))); }
  return to;
}

/// The largest |a - b| / (1 + |b|); NaN where there is one in either.
template <class A, class B>
double worst(std::vector<A> const& a, std::vector<B> const& b) {
  if (a.size() != b.size()) { return NAN; }
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    double const got = static_cast<float>(a[i]), want = static_cast<float>(b[i]);
    double const e = got == want ? 0 : std::fabs(got - want) / (1 + std::fabs(want));
    if (!(e <= most)) { most = e; }
    if (std::isnan(most)) { return most; }
  }
  return most;
}

/// What one rounding to the type may cost, in the measure of `worst`.
template <class T>
inline constexpr double rounding = 1e-6;
template <>
inline constexpr double rounding<bf16> = 0x1p-8;
template <>
inline constexpr double rounding<f16> = 0x1p-11;

}  // namespace loopserve::device_test
