// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>

#include <loopserve/attention/key_names_kernel.hpp>
#include <loopserve/attention/matrix_tile_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/dev/reduce.hpp>
#include <loopserve/dev/unroll.hpp>

namespace loopserve::detail {

/// Attention of a tile of 64 of one query head's rows over the keys that someone names, on tensor cores (FlashAttention-2, arXiv 2307.08691): bf16 or f16 keys and
/// values, head_dim 32, 64, 96 or 128, sums and softmax in float32.
///
/// A warp has 16 rows. Queries, scaled, and weights are rounded to Element, so a result may differ from the exact one by about 2 * u * (1 + a) * v: u is Element's
/// rounding (2^-8 of bf16, 2^-11 of f16), v the largest value, and a the largest sum of |q_i k_i| / sqrt(head_dim) of the row's keys: scores are off by up to u * a and
/// weights by as large a factor, above and below the line, and by u once more. In f16 a weight below 2^-14 of the largest is off by up to 2^-25 of that.
/// Blocks of 16 rows and 16 keys that have no cell are left out, which changes no bit: their weights are zeros.
///
/// Tiles of 64 keys and values lie in shared memory twice: the next is under way while one is attended to, and the one after that is named.
/// A value that is not a number may show in rows that do not attend to it, where it lies in a tile with keys that they attend to.
template <class Element, int Dim>
struct matrix_attend {
  using element_type = Element;
  static constexpr int warps = 4;
  static constexpr int threads = 32 * warps;
  static constexpr int tile_rows = 16 * warps;
  static constexpr int tile_keys = 64;
  static constexpr int blocks = tile_keys / 16;  // of 16 keys, for each warp's 16 rows
  static constexpr float none = -std::numeric_limits<float>::infinity();
  using tile = matrix_tile<Element, Dim, tile_keys>;
  using names = key_names<Element, tile_keys>;
  static_assert(tile_rows == 64 && Dim % 32 == 0 && tile::without_conflicts());

  struct shared_layout {
    tile keys[2], values[2];
    names named[3];  // of the current tile, the next one and the one behind it
  };
  LOOPSERVE_HOST_DEVICE static constexpr index_t shared_bytes(int /*head_dim*/) { return sizeof(shared_layout); }

  /// Rows [first_row, first_row + count) of the job, count <= tile_rows, and what `keys` names for them. All threads of the block come here. A row without a key is zero.
  template <class Keys>
  LOOPSERVE_DEVICE static void attend(prefill_record<Element> const& job, int head, int first_row, int count, Keys& keys) {
    auto& shared = dev::shared<shared_layout>();
    state its;
    load_queries(job, head, first_row, count, its.q);
    keys.name(shared.named[0]);
    keys.name(shared.named[1]);
    dev::barrier();
    if (shared.named[0].count > 0) { fetch(shared, 0); }
    for (int t = 0; shared.named[t % 3].count > 0; ++t) {
      dev::copy_wait<0>();
      dev::barrier();
      if (shared.named[(t + 1) % 3].count > 0) { fetch(shared, t + 1); }
      keys.name(shared.named[(t + 2) % 3]);
      attend_tile(shared.keys[t % 2], shared.values[t % 2], shared.named[t % 3].rows, its);
    }
    write(job, head, first_row, count, its);
  }

 private:
  // Fragments as dev::multiply_add has them. Entry 0 of a pair is of row lane / 4 of the warp's, entry 1 of the row 8 below.
  struct state {
    std::uint32_t q[Dim / 16][4];
    float sum[Dim / 8][4] = {};
    float top[2] = {none, none}, weight[2] = {0, 0};  // the lane's share of the weight
  };

  // Scaled, so that 2^score is the weight; rows beyond the last are zero.
  LOOPSERVE_DEVICE static void load_queries(prefill_record<Element> const& job, int head, int first_row, int count,
                                            std::uint32_t (&q)[Dim / 16][4]) {
    float const scale = 1.4426950408889634F * dev::rsqrt(static_cast<float>(Dim));
    dev::unrolled<4>([&](int j) {
      int const row = own_row(j % 2);
      float const* const from = job.q + (first_row + row) * job.q_row_stride + head * job.q_head_stride + own_column() + 8 * (j / 2);
      dev::unrolled<Dim / 16>([&](int step) {
        bool const there = row < count;
        float const low = there ? dev::load(from + 16 * step) : 0, high = there ? dev::load(from + 16 * step + 1) : 0;
        q[step][j] = dev::pack<Element>(scale * low, scale * high);
      });
    });
  }

  LOOPSERVE_DEVICE static int own_row(int half) { return 16 * dev::warp() + dev::lane() / 4 + 8 * half; }
  LOOPSERVE_DEVICE static int own_column() { return 2 * (dev::lane() % 4); }

  LOOPSERVE_DEVICE static void fetch(shared_layout& shared, int t) {
    shared.keys[t % 2].template fetch<threads>(shared.named[t % 3].keys);
    shared.values[t % 2].template fetch<threads>(shared.named[t % 3].values);
    dev::copy_commit();
  }

  // What of a tile the warp's rows attend to.
  struct cells {
    bool all;                 // every cell
    std::uint32_t low, high;  // bit i: any row attends to key i, to key 32 + i
    LOOPSERVE_DEVICE bool any(int block) const { return ((block < 2 ? low : high) >> (block % 2 * 16) & 0xffff) != 0; }
  };

  LOOPSERVE_DEVICE static void attend_tile(tile const& keys, tile const& values, std::uint64_t const* rows, state& its) {
    int const first = 16 * dev::warp();
    auto const low = static_cast<std::uint32_t>(rows[dev::lane()] >> first) & 0xffff,
               high = static_cast<std::uint32_t>(rows[dev::lane() + 32] >> first) & 0xffff;
    cells const here{dev::ballot((low & high) == 0xffff) == 0xffffffff, dev::ballot(low != 0), dev::ballot(high != 0)};
    // Whole tiles apart: there the compiler may mix the blocks' instructions.
    if (here.all) {
      add_tile<true>(keys, values, rows, here, its);
    } else if ((here.low | here.high) != 0) {
      add_tile<false>(keys, values, rows, here, its);
    }
  }

  template <bool All>
  LOOPSERVE_DEVICE static void add_tile(tile const& keys, tile const& values, std::uint64_t const* rows, cells const& here, state& its) {
    float score[2 * blocks][4];
    dev::unrolled<blocks>([&](int block) { take_scores<All>(keys, rows, here, block, its.q, score[2 * block], score[2 * block + 1]); });
    float higher[2] = {its.top[0], its.top[1]}, base[2];
    dev::unrolled<2 * blocks>([&](int n) { dev::unrolled<4>([&](int j) { higher[j / 2] = dev::larger{}(higher[j / 2], score[n][j]); }); });
    dev::unrolled<2>([&](int r) {
      higher[r] = dev::larger{}(higher[r], dev::shuffle_xor(higher[r], 1));
      higher[r] = dev::larger{}(higher[r], dev::shuffle_xor(higher[r], 2));
      base[r] = higher[r] == none ? 0 : higher[r];
      float const fade = dev::exp2(its.top[r] - base[r]);
      its.top[r] = higher[r];
      its.weight[r] *= fade;
      dev::unrolled<Dim / 8>([&](int d) { its.sum[d][2 * r] *= fade, its.sum[d][2 * r + 1] *= fade; });
    });
    dev::unrolled<2 * blocks>([&](int n) {
      dev::unrolled<4>([&](int j) {
        score[n][j] = dev::exp2(score[n][j] - base[j / 2]);
        its.weight[j / 2] += score[n][j];
      });
    });
    dev::unrolled<blocks>([&](int block) {
      if (!All && !here.any(block)) { return; }
      auto const &left = score[2 * block], &right = score[2 * block + 1];
      std::uint32_t const weights[4] = {dev::pack<Element>(left[0], left[1]), dev::pack<Element>(left[2], left[3]),
                                        dev::pack<Element>(right[0], right[1]), dev::pack<Element>(right[2], right[3])};
      dev::unrolled<Dim / 16>([&](int d) {
        std::uint32_t v[4];
        dev::load_matrices_transposed(v, values.at(16 * block + dev::lane() % 16, 2 * d + dev::lane() / 16));
        dev::multiply_add<Element>(its.sum[2 * d], weights, v[0], v[1]);
        dev::multiply_add<Element>(its.sum[2 * d + 1], weights, v[2], v[3]);
      });
    });
  }

  // Scores of 16 keys, 8 on the left and 8 on the right; those of cells that are not attended to are `none`.
  template <bool All>
  LOOPSERVE_DEVICE static void take_scores(tile const& keys, std::uint64_t const* rows, cells const& here, int block,
                                           std::uint32_t const (&q)[Dim / 16][4], float (&left)[4], float (&right)[4]) {
    bool const any = All || here.any(block);
    dev::unrolled<4>([&](int j) { left[j] = right[j] = any ? 0 : none; });
    if (!any) { return; }
    dev::unrolled<Dim / 32>([&](int step) {
      std::uint32_t k[4];
      dev::load_matrices(k, keys.at(16 * block + dev::lane() % 8, 4 * step + dev::lane() / 8));
      dev::multiply_add<Element>(left, q[2 * step], k[0], k[1]);
      dev::multiply_add<Element>(left, q[2 * step + 1], k[2], k[3]);
      dev::load_matrices(k, keys.at(16 * block + 8 + dev::lane() % 8, 4 * step + dev::lane() / 8));
      dev::multiply_add<Element>(right, q[2 * step], k[0], k[1]);
      dev::multiply_add<Element>(right, q[2 * step + 1], k[2], k[3]);
    });
    if (All) { return; }
    dev::unrolled<2>([&](int column) {
      int const key = 16 * block + own_column() + column;
      auto const of_left = static_cast<std::uint32_t>(rows[key] >> own_row(0)),
                 of_right = static_cast<std::uint32_t>(rows[key + 8] >> own_row(0));
      dev::unrolled<2>([&](int half) {
        if ((of_left >> 8 * half & 1) == 0) { left[2 * half + column] = none; }
        if ((of_right >> 8 * half & 1) == 0) { right[2 * half + column] = none; }
      });
    });
  }

  LOOPSERVE_DEVICE static void write(prefill_record<Element> const& job, int head, int first_row, int count, state const& its) {
    dev::unrolled<2>([&](int r) {
      float w = its.weight[r];
      w += dev::shuffle_xor(w, 1);
      w += dev::shuffle_xor(w, 2);
      float const share = w == 0 ? 0 : 1 / w;
      if (own_row(r) >= count) { return; }
      float* const out = job.out + (first_row + own_row(r)) * job.out_row_stride + head * job.out_head_stride + own_column();
      dev::unrolled<Dim / 8>([&](int d) {
        dev::store(out + 8 * d, its.sum[d][2 * r] * share);
        dev::store(out + 8 * d + 1, its.sum[d][2 * r + 1] * share);
      });
    });
  }
};

}  // namespace loopserve::detail
