// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>

#include <loopserve/core/config.hpp>

namespace loopserve {

/// A counter-based generator: draw i of a stream is a pure function of (key, i), so results do not depend on who draws first.
/// The mixing function is SplitMix64's finaliser (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
class counter_rng {
 public:
  /// A stream named by a list of numbers: a seed, then e.g. layer, head, turn, chunk.
  LOOPSERVE_HOST_DEVICE constexpr counter_rng(std::initializer_list<std::uint64_t> names) {
    for (auto name : names) { key_ = mix(key_ + 0x9e3779b97f4a7c15u + name); }
  }

  /// The stream that is named by one number more: {a, b} is counter_rng{a}.with(b).
  LOOPSERVE_HOST_DEVICE constexpr counter_rng with(std::uint64_t name) const {
    auto longer = *this;
    longer.key_ = mix(key_ + 0x9e3779b97f4a7c15u + name);
    return longer;
  }

  LOOPSERVE_HOST_DEVICE constexpr std::uint64_t bits(std::uint64_t i) const { return mix(key_ + (i + 1) * 0x9e3779b97f4a7c15u); }

  /// Uniform in [0, 1), 53 bits.
  LOOPSERVE_HOST_DEVICE constexpr double uniform(std::uint64_t i) const { return static_cast<double>(bits(i) >> 11) * 0x1p-53; }

  /// Uniform in [0, bound), bound > 0.
  LOOPSERVE_HOST_DEVICE constexpr std::uint64_t below(std::uint64_t i, std::uint64_t bound) const {
    auto const product = static_cast<unsigned __int128>(bits(i)) * bound;
    return static_cast<std::uint64_t>(product >> 64);
  }

 private:
  LOOPSERVE_HOST_DEVICE static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint64_t key_ = 0;
};

}  // namespace loopserve
