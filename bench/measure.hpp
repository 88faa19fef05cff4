// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <vector>

#include <loopserve/core/buffer.hpp>
#include <loopserve/core/parallel.hpp>

namespace bench {

/// What `milliseconds` measures: the time that passes, or with one thread on a machine that does other things, the processor time that is used.
enum class clock_kind { wall, processor };
inline clock_kind measured = clock_kind::wall;

inline double milliseconds(std::function<void()> const& f) {
  if (measured == clock_kind::processor) {
    auto const start = std::clock();
    f();
    return 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  }
  auto const start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// The median times of several things, repeated in turns so that what else the machine does meets all of them alike.
inline std::vector<double> interleaved(std::vector<std::function<void()>> const& things, int repeats) {
  std::vector<std::vector<double>> times(things.size());
  for (auto const& f : things) { f(); }
  for (int r = 0; r < repeats; ++r) {
    for (std::size_t i = 0; i < things.size(); ++i) { times[i].push_back(milliseconds(things[i])); }
  }
  std::vector<double> medians;
  for (auto& t : times) {
    std::sort(t.begin(), t.end());
    medians.push_back(t[t.size() / 2]);
  }
  return medians;
}

/// A vector as wide as the compiler's flags allow (the presets compile for this machine).
#if defined(__AVX512F__)
inline constexpr int lanes = 16;
#elif defined(__AVX__)
inline constexpr int lanes = 8;
#else
inline constexpr int lanes = 4;
#endif
using vector = float __attribute__((vector_size(4 * lanes)));

/// Runs multiply-adds that depend on nothing but themselves on all threads; returns how many floating-point operations they were.
inline double multiply_adds(int threads, float& sink) {
  constexpr int chains = 12, rounds = 20000000;
  std::vector<float> ends(static_cast<std::size_t>(threads));
  loopserve::parallel_for(threads, threads, [&](loopserve::index_t t) {
    vector a[chains];
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) { a[i] = vector{} + static_cast<float>(i); }
    vector const x = vector{} + 0.999F, y = vector{} + 0.001F;
    for (int r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
      for (int i = 0; i < chains; ++i) { a[i] = a[i] * x + y; }
    }
    vector sum{};
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) { sum += a[i]; }
    ends[static_cast<std::size_t>(t)] = sum[0];
  });
  sink += ends[0];
  return 2.0 * lanes * chains * rounds * threads;
}

/// Reads `memory` once on all threads.
inline void read_all(int threads, loopserve::host_buffer<float> const& memory, float& sink) {
  loopserve::index_t const piece = 1 << 18;
  std::vector<float> ends(static_cast<std::size_t>(memory.size() / piece));
  loopserve::parallel_for(threads, memory.size() / piece, [&](loopserve::index_t p) {
    vector s[4] = {};
    auto const* const v = reinterpret_cast<vector const*>(memory.data() + p * piece);
    for (int i = 0; i < piece / lanes; i += 4) {
      for (int j = 0; j < 4; ++j) { s[j] += v[i + j]; }
    }
    ends[static_cast<std::size_t>(p)] = (s[0] + s[1] + s[2] + s[3])[0];
  });
  sink += ends[0];
}

}  // namespace bench
