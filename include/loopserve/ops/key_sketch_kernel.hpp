// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/unroll.hpp>
#include <loopserve/ops/key_sketch.hpp>

namespace loopserve {

namespace detail {

// f16_down and f16_up for device code.
LOOPSERVE_DEVICE inline f16 device_f16_down(float x) {
  x = x < -65504.0F ? -65504.0F : x;
  f16 h(x);
  if (static_cast<float>(h) > x) {
    h.bits = static_cast<std::uint16_t>(h.bits == 0 ? 0x8001 : (h.bits & 0x8000) != 0 ? h.bits + 1 : h.bits - 1);
  }
  return h;
}
LOOPSERVE_DEVICE inline f16 device_f16_up(float x) {
  f16 h(65504.0F < x ? 65504.0F : x);
  if (static_cast<float>(h) < x && h.bits != 0x7bff) { h.bits = static_cast<std::uint16_t>(h.bits + 1); }
  return h;
}

}  // namespace detail

/// Block (g, h): group from + g of KV head h. First a thread a channel finds the extremes, then a thread a word of codes, neighbouring threads
/// neighbouring tokens.
template <class Element, int Bits>
struct sketch_keys_kernel {
  static constexpr int threads = 128;
  static constexpr int per_word = 32 / Bits, top = (1 << Bits) - 1;

  kv_view<Element> kv;
  int from;
  key_sketch_view sketch;

  struct channel {
    float lo, inverse;
  };
  index_t shared_bytes() const { return sketch.head_dim * static_cast<index_t>(sizeof(channel)); }

  LOOPSERVE_DEVICE void operator()() const {
    int const g = from + dev::block().x, h = dev::block().y, first = g * sketch_group;
    auto* const channels = dev::shared_array<channel>(sketch.head_dim);
    index_t const place = index_t{g} * sketch.kv_heads + h;
    for (int c = dev::thread(); c < sketch.head_dim; c += threads) {
      float low = __builtin_inff(), high = -low;
      for (int t = 0; t < sketch_group; ++t) {
        float const x = dev::load(dev::key(kv, first + t, h) + c);
        low = x < low ? x : low;
        high = high < x ? x : high;
      }
      f16 const lo = detail::device_f16_down(low), step = detail::device_f16_up((high - static_cast<float>(lo)) / static_cast<float>(top));
      dev::store(sketch.lo + place * sketch.head_dim + c, lo);
      dev::store(sketch.step + place * sketch.head_dim + c, step);
      channels[c] = {static_cast<float>(lo), static_cast<float>(step) > 0 ? 1 / static_cast<float>(step) : 0};
    }
    dev::barrier();
    int const words = (sketch.head_dim + per_word - 1) / per_word;
    std::uint32_t* const codes = sketch.codes + place * words * sketch_group;
    for (int i = dev::thread(); i < words * sketch_group; i += threads) {
      Element const* const key = dev::key(kv, first + i % sketch_group, h);
      int const begin = i / sketch_group * per_word;
      std::uint32_t word = 0;
      for (int j = 0; j < per_word && begin + j < sketch.head_dim; ++j) {
        channel const its = channels[begin + j];
        // Each operation rounds by itself, as on the host: a fused one would give other codes.
        float const at = dev::product(static_cast<float>(dev::load(key + begin + j)) - its.lo, its.inverse) + 0.5F;
        float const clamped = at < 0 ? 0 : static_cast<float>(top) < at ? static_cast<float>(top) : at;
        word |= static_cast<std::uint32_t>(clamped) << (Bits * j);
      }
      dev::store(codes + i, word);
    }
  }
};

/// logits (kv_heads, rows, stride) of tokens [0, 64 * groups): q . k^ / sqrt(head_dim). Row r is query first_query + r / group, query head r % group of the KV head.
///
/// A warp takes a group of tokens and four rows, on tensor cores. A code, as the bits of an f16, is a subnormal number: code * 2^-24 exactly, so the codes are
/// multiplied as they lie in memory, two by one shift and one mask. The scaled queries are split into two f16, which stand in columns of their own: n and n + 4.
/// The order of channels in a product is free, and so is that of tokens: lane (g, t) brings words t, t + 4, .. of tokens 4g .. 4g + 3, by 16 bytes at once.
template <int Bits>
struct sketch_logits_kernel {
  static constexpr int threads = 128;
  static constexpr int groups_per_block = threads / 32;
  static constexpr int rows_per_block = 4;
  static constexpr int per_word = 32 / Bits;
  static constexpr std::uint32_t mask = ((1u << Bits) - 1) * 0x00010001u;

  tensor_view<float const, 3> q;
  key_sketch_view sketch;
  int first_query, group, rows;
  float scale;  // 1 / sqrt(head_dim)
  float* logits;
  index_t stride;

  LOOPSERVE_DEVICE void operator()() const {
    int const group_of_tokens = dev::block().x * groups_per_block + dev::warp(), h = dev::block().y;
    if (group_of_tokens >= sketch.groups) { return; }
    int const row = dev::block().z * rows_per_block + dev::lane() / 4 % 4;
    bool const low_part = dev::lane() >= 16;
    int const g = dev::lane() / 4, t = dev::lane() % 4;
    int const words = (sketch.head_dim + per_word - 1) / per_word;
    index_t const place = index_t{group_of_tokens} * sketch.kv_heads + h;
    float const* const query =
        q.data() + index_t{first_query + row / group} * q.stride(0) + (index_t{h} * group + row % group) * q.stride(1);
    std::uint32_t const* const codes = sketch.codes + place * words * sketch_group + 4 * g;

    float sums[4][4] = {};  // of tokens 4g + {0, 1}, 4g + {2, 3}, the same behind 32
    float offset = 0;
    for (int w0 = 0; w0 < words; w0 += 4) {
      int const w = w0 + t;
      bool const inside = w < words;
      dev::vec<std::uint32_t, 4> word[2] = {};
      float x[per_word];
      dev::unrolled<per_word>([&](int j) { x[j] = 0; });
      if (inside) {
        word[0] = dev::load_vec<4>(codes + w * sketch_group);
        word[1] = dev::load_vec<4>(codes + w * sketch_group + 32);
        if (row < rows) { offset += scaled_query(query, place * sketch.head_dim, w * per_word, x); }
      }
      dev::unrolled<per_word / 4>([&](int s) {
        int const j = 2 * s;
        std::uint32_t const b0 = part(x[j], low_part) | part(x[j + per_word / 2], low_part) << 16;
        std::uint32_t const b1 = part(x[j + 1], low_part) | part(x[j + 1 + per_word / 2], low_part) << 16;
        dev::unrolled<4>([&](int m) {
          std::uint32_t const one = word[m / 2][m % 2 * 2] >> (Bits * j), two = word[m / 2][m % 2 * 2 + 1] >> (Bits * j);
          std::uint32_t const a[4] = {one & mask, two & mask, one >> Bits & mask, two >> Bits & mask};
          dev::multiply_add<f16>(sums[m], a, b0, b1);
        });
      });
    }
    offset += dev::shuffle_xor(offset, 1);
    offset += dev::shuffle_xor(offset, 2);  // now of `row`, which stands at lanes 4 * (row % 4) too
    dev::unrolled<4>([&](int m) { dev::unrolled<4>([&](int e) { sums[m][e] += dev::shuffle_xor(sums[m][e], 2); }); });
    // Both halves of a quad hold columns 2 * (t % 2) + {0, 1}; the lower one writes the first, the upper one the second.
    int const column = 2 * (t % 2) + t / 2;
    float const its_offset = dev::shuffle(offset, 4 * column);
    int const its_row = dev::block().z * rows_per_block + column;
    if (its_row >= rows) { return; }
    float* const out = logits + (index_t{h} * rows + its_row) * stride + index_t{group_of_tokens} * sketch_group + 4 * g;
    dev::unrolled<2>([&](int half) {
      dev::vec<float, 4> four;
      dev::unrolled<4>([&](int i) {
        four[i] = (t < 2 ? sums[2 * half + i / 2][2 * (i % 2)] : sums[2 * half + i / 2][2 * (i % 2) + 1]) * 0x1p24F + its_offset;
      });
      dev::store_vec<4>(out + 32 * half, four);
    });
  }

 private:
  /// x = q / sqrt(head_dim) * step of a word's channels; returns their q . lo / sqrt(head_dim).
  LOOPSERVE_DEVICE float scaled_query(float const* query, index_t at, int begin, float (&x)[per_word]) const {
    float sum = 0;
    f16 const* const lo = sketch.lo + at + begin;
    f16 const* const step = sketch.step + at + begin;
    query += begin;
    auto const bits =
        reinterpret_cast<std::uintptr_t>(lo) | reinterpret_cast<std::uintptr_t>(step) | reinterpret_cast<std::uintptr_t>(query);
    if (bits % 16 == 0 && begin + per_word <= sketch.head_dim) {
      dev::unrolled<per_word / 8>([&](int eighth) {
        int const j = 8 * eighth;
        auto const los = dev::load_vec<8>(lo + j), steps = dev::load_vec<8>(step + j);
        dev::vec<float, 4> const four[2] = {dev::load_vec<4>(query + j), dev::load_vec<4>(query + j + 4)};
        dev::unrolled<8>([&](int i) {
          float const one = scale * four[i / 4][i % 4];
          sum += one * static_cast<float>(los[i]);
          x[j + i] = one * static_cast<float>(steps[i]);
        });
      });
      return sum;
    }
    dev::unrolled<per_word>([&](int j) {
      if (begin + j < sketch.head_dim) {
        float const one = scale * dev::load(query + j);
        sum += one * static_cast<float>(dev::load(lo + j));
        x[j] = one * static_cast<float>(dev::load(step + j));
      }
    });
    return sum;
  }

  /// The bits of x as f16, or of what that leaves.
  LOOPSERVE_DEVICE static std::uint32_t part(float x, bool low) {
    f16 const high(x);
    return low ? f16(x - static_cast<float>(high)).bits : high.bits;
  }
};

}  // namespace loopserve
