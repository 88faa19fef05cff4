// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/reduce.hpp>

namespace loopserve {

/// A value and its index in one number that grows with the value and falls with the index. A value that is not a number is above all others.
struct argmax_key {
  static constexpr std::uint32_t not_a_number = 0xffffffffu;

  LOOPSERVE_HOST_DEVICE static constexpr unsigned long long of(float value, std::uint32_t index) {
    auto const bits = __builtin_bit_cast(std::uint32_t, value == 0 ? 0.0F : value);  // both zeros are the same
    auto const rank = value != value ? not_a_number : (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
    return static_cast<unsigned long long>(rank) << 32 | (0xffffffffu - index);
  }
  LOOPSERVE_HOST_DEVICE static constexpr int index(unsigned long long key) {
    return static_cast<int>(0xffffffffu - static_cast<std::uint32_t>(key));
  }
  LOOPSERVE_HOST_DEVICE static constexpr float value(unsigned long long key) {
    auto const rank = static_cast<std::uint32_t>(key >> 32);
    if (rank == not_a_number) { return __builtin_nanf(""); }
    return __builtin_bit_cast(float, (rank & 0x80000000u) != 0 ? rank & 0x7fffffffu : ~rank);
  }
  LOOPSERVE_HOST_DEVICE static constexpr bool is_number(unsigned long long key) { return key >> 32 != not_a_number; }
};

/// Block (r, c): the c-th `tile` columns of row r. best (rows) is zero before.
template <class In>
struct argmax_kernel {
  static constexpr int threads = 256;
  static constexpr int tile = 16 * threads;
  using shared_layout = dev::reduce_scratch<unsigned long long>;

  tensor_view<In const, 2> values;
  unsigned long long* best;

  LOOPSERVE_DEVICE void operator()() const {
    index_t const r = dev::block().x;
    index_t const first = index_t{dev::block().y} * tile;
    unsigned long long key = 0;
    for (index_t i = first + dev::thread(); i < first + tile && i < values.extent(1); i += threads) {
      key = dev::larger{}(key, argmax_key::of(dev::load(&values(r, i)), static_cast<std::uint32_t>(i)));
    }
    key = dev::block_reduce(key, 0ULL, dev::larger{}, dev::shared<shared_layout>());
    if (dev::thread() == 0) { dev::atomic_max(best + r, key); }
  }
};

}  // namespace loopserve
