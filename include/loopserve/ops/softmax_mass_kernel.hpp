// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/device_backend.hpp>
#include <loopserve/dev/reduce.hpp>

namespace loopserve {

/// The largest logit of some keys, and the sum of e^(logit - largest).
struct alignas(8) softmax_part {  // one access
  float top, weight;
};

/// Logits (kv_heads, rows, stride), of which row r sees the first seen_first + r / group * seen_step keys.
struct masked_logits {
  float const* logits;
  index_t stride;
  int rows, group, seen_first, seen_step;

  LOOPSERVE_HOST_DEVICE constexpr int seen(int row) const { return seen_first + row / group * seen_step; }
};

/// Block (x, row, h): the part of tile x. parts (kv_heads, rows, tiles)
struct softmax_parts_kernel {
  static constexpr int threads = 256;
  static constexpr int tile = 16 * threads;
  using shared_layout = dev::reduce_scratch<float>;

  masked_logits in;
  softmax_part* parts;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid blocks) const {
    int const row = block.y;
    index_t const line = index_t{block.z} * in.rows + row;
    float const* const logits = in.logits + line * in.stride;
    int const first = block.x * tile, seen = in.seen(row), end = first + tile < seen ? first + tile : seen;
    float top = -__builtin_inff();
    for (int i = first + dev::thread(); i < end; i += threads) { top = dev::larger{}(top, dev::load(logits + i)); }
    top = dev::block_reduce(top, -__builtin_inff(), dev::larger{}, dev::shared<shared_layout>());
    float weight = 0;
    for (int i = first + dev::thread(); i < end; i += threads) { weight += dev::exp(dev::load(logits + i) - top); }
    weight = dev::block_reduce(weight, 0.0F, dev::plus{}, dev::shared<shared_layout>());
    if (dev::thread() == 0) { dev::store(parts + line * blocks.x + block.x, softmax_part{top, weight}); }
  }
};

/// wholes (kv_heads, rows): the parts of a row together. A warp a row.
struct merge_softmax_kernel {
  static constexpr int threads = 128;

  softmax_part const* parts;
  int lines, tiles;
  softmax_part* wholes;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const line = block.x * (threads / 32) + dev::warp();
    if (line >= lines) { return; }
    softmax_part const* const its = parts + index_t{line} * tiles;
    float top = -__builtin_inff(), weight = 0;
    for (int i = dev::lane(); i < tiles; i += 32) { top = dev::larger{}(top, dev::load(its + i).top); }
    top = dev::warp_reduce(top, dev::larger{});
    for (int i = dev::lane(); i < tiles; i += 32) {
      auto const part = dev::load(its + i);
      weight += part.weight * dev::exp(part.top - top);  // a tile that a row does not see weighs nothing
    }
    weight = dev::warp_reduce(weight, dev::plus{});
    if (dev::lane() == 0) { dev::store(wholes + line, softmax_part{top, weight}); }
  }
};

/// scores (kv_heads, keys): the rows' softmax, summed, times `factor`; added to what is there, or in its place. A thread a key.
struct softmax_mass_kernel {
  static constexpr int threads = 256;

  masked_logits in;
  softmax_part const* wholes;
  float factor;
  bool add;
  tensor_view<float, 2> scores;

  LOOPSERVE_DEVICE void operator()() const { run(dev::block(), dev::blocks()); }
  LOOPSERVE_DEVICE void run(grid block, grid) const {
    int const key = block.x * threads + dev::thread(), h = block.y;
    if (key >= scores.extent(1)) { return; }
    float sum = 0;
    for (int row = 0; row < in.rows; ++row) {
      if (key >= in.seen(row)) { continue; }
      index_t const line = index_t{h} * in.rows + row;
      auto const whole = dev::load(wholes + line);
      sum += dev::exp(dev::load(in.logits + line * in.stride + key) - whole.top) / whole.weight;
    }
    float* const out = &scores(h, key);
    dev::store(out, (add ? dev::load(out) : 0) + sum * factor);
  }
};

namespace detail {

/// Logits that are held at once: 64 MiB, or those of one query where that is more.
inline constexpr index_t logits_at_once = index_t{1} << 24;

/// The queries that are looked at together where `held` logits may be.
constexpr int queries_at_once(index_t queries, index_t heads, index_t stride, index_t held = logits_at_once) {
  return static_cast<int>(std::clamp<index_t>(held / std::max<index_t>(heads * stride, 1), 1, std::max<index_t>(queries, 1)));
}

/// Rows of logits begin at multiples of 16 bytes.
constexpr index_t logits_stride(index_t keys) { return (keys + 3) / 4 * 4; }

/// Sums the rows' softmax for every key.
template <device_backend B>
void add_softmax_mass(B const& b, masked_logits in, float factor, bool add, tensor_view<float, 2> scores) {
  auto const kv_heads = static_cast<int>(scores.extent(0));
  int const tiles = blocks_for(scores.extent(1), softmax_parts_kernel::tile), lines = kv_heads * in.rows;
  auto scratch = b.template make_buffer<softmax_part>(index_t{lines} * (tiles + 1));
  softmax_part* const wholes = scratch.data() + index_t{lines} * tiles;
  b.launch({tiles, in.rows, kv_heads}, softmax_parts_kernel{in, scratch.data()});
  b.launch({blocks_for(lines, merge_softmax_kernel::threads / 32)}, merge_softmax_kernel{scratch.data(), lines, tiles, wholes});
  b.launch({blocks_for(scores.extent(1), softmax_mass_kernel::threads), kv_heads}, softmax_mass_kernel{in, wholes, factor, add, scores});
}

}  // namespace detail
}  // namespace loopserve
