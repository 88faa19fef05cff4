// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <loopserve/core/parallel.hpp>
#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/tensor_entry.hpp>

namespace loopserve {

namespace detail {

/// The first of `count` numbers, `stride` bytes apart, whose exponent bits are all ones; `count` where there is none. A test of the bits alone, in
/// blocks without a branch.
template <class Bits>
index_t first_not_finite(unsigned char const* data, index_t count, index_t stride, Bits exponent) {
  constexpr index_t block = 4096;
  for (index_t start = 0; start < count; start += block) {
    auto const end = std::min(count, start + block);
    unsigned bad = 0;
    for (index_t i = start; i < end; ++i) {
      Bits bits;
      std::memcpy(&bits, data + i * stride, sizeof bits);
      bad |= static_cast<unsigned>((bits & exponent) == exponent);
    }
    for (index_t i = start; bad != 0 && i < end; ++i) {
      Bits bits;
      std::memcpy(&bits, data + i * stride, sizeof bits);
      if ((bits & exponent) == exponent) { return i; }
    }
  }
  return count;
}

/// The same over a tensor's bytes of a known type; a whole number of its elements or blocks.
inline index_t first_not_finite(element_type type, unsigned char const* data, index_t bytes) {
  switch (type) {
    case element_type::f32: return first_not_finite<std::uint32_t>(data, bytes / 4, 4, 0x7f800000u);
    case element_type::f16: return first_not_finite<std::uint16_t>(data, bytes / 2, 2, std::uint16_t{0x7c00});
    case element_type::bf16: return first_not_finite<std::uint16_t>(data, bytes / 2, 2, std::uint16_t{0x7f80});
    case element_type::q8_0: return first_not_finite<std::uint16_t>(data, bytes / q8_0_block_bytes, q8_0_block_bytes, std::uint16_t{0x7c00}) * q8_0_block;
  }
  return 0;
}

}  // namespace detail

/// Throws format_error naming the tensor, where one of those that can be computed with holds a NaN or an infinity.
inline void check_finite(std::vector<tensor_entry> const& tensors, int threads = available_threads()) {
  constexpr index_t piece_bytes = 34 << 16;  // a multiple of every element's and block's size
  struct piece {
    tensor_entry const* tensor;
    index_t first;
    bool bad = false;
  };
  std::vector<piece> pieces;
  for (auto const& t : tensors) {
    for (index_t first = 0; t.type && first < t.bytes; first += piece_bytes) { pieces.push_back({&t, first}); }
  }
  auto const scan = [&](piece const& p) {
    auto const bytes = std::min<index_t>(piece_bytes, p.tensor->bytes - p.first);
    auto const elements = *p.tensor->type == element_type::q8_0 ? bytes / q8_0_block_bytes * q8_0_block : bytes / bytes_of(*p.tensor->type, 1);
    auto const at = detail::first_not_finite(*p.tensor->type, p.tensor->data + p.first, bytes);
    return at < elements ? at : index_t{-1};
  };
  parallel_for(threads, static_cast<index_t>(pieces.size()), [&](index_t i) { pieces[static_cast<std::size_t>(i)].bad = scan(pieces[static_cast<std::size_t>(i)]) >= 0; });
  for (auto const& p : pieces) {
    if (!p.bad) { continue; }
    auto const& t = *p.tensor;
    auto const before = *t.type == element_type::q8_0 ? p.first / q8_0_block_bytes * q8_0_block : p.first / bytes_of(*t.type, 1);
    bad_file(t.file, "tensor '" + shown(t.name) + "'", "finite numbers", "NaN or infinity at element " + std::to_string(before + scan(p)));
  }
}

}  // namespace loopserve
