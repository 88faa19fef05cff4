// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>

#include <loopserve/attention/key_names_kernel.hpp>
#include <loopserve/attention/matrix_tile_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/attention/query_tile_kernel.hpp>
#include <loopserve/dev/unroll.hpp>

namespace loopserve::detail {

/// Attention of a tile of queries over the keys that someone names, on tensor cores (FlashAttention-2, arXiv 2307.08691): bf16 or f16 keys and values, head_dim
/// 32, 64, 96 or 128, sums and softmax in float32. A block of Warps warps, each with RowBlocks times 16 rows; a row's bits depend on neither.
///
/// Queries, scaled, and weights are rounded to Element, so a result may differ from the exact one by about 2 * u * (1 + a) * v: u is Element's
/// rounding (2^-8 of bf16, 2^-11 of f16), v the largest value, and a the largest sum of |q_i k_i| / sqrt(head_dim) of the row's keys: scores are off by up to u * a and
/// weights by as large a factor, above and below the line, and by u once more. In f16 a weight below 2^-14 of the largest is off by up to 2^-25 of that.
/// Blocks of 16 keys that none of a warp's rows attends to are left out, which changes no bit: their weights are zeros.
///
/// Queries lie in shared memory, which leaves registers to the sums of 32 rows a warp: a fragment of keys or values that is read serves them all. While scores are
/// taken the tile's values come, while values are summed the next tile's keys.
/// A value that is not a number may show in rows that do not attend to it, where it lies in a tile with keys that they attend to.
template <class Element, int Dim, int Warps, int RowBlocks>
struct matrix_attend {
  using element_type = Element;
  static constexpr int warps = Warps;
  static constexpr int threads = 32 * warps;
  static constexpr int warp_rows = 16 * RowBlocks;
  static constexpr int tile_rows = warps * warp_rows;
  static constexpr int tile_keys = 64;
  static constexpr int blocks = tile_keys / 16;  // of 16 keys
  static constexpr float none = -std::numeric_limits<float>::infinity();
  using tile = matrix_tile<Element, Dim, tile_keys>;
  using queries = matrix_tile<Element, Dim, tile_rows>;
  static_assert(warp_rows <= 32 && Dim % 32 == 0 && tile::without_conflicts() && queries::without_conflicts());

  // What is the same for all threads lies here, too: registers are for sums and scores.
  template <class Keys>
  struct shared_layout {
    queries q;
    tile keys, values;
    typename Keys::names named[2];  // of the current tile and the next one
    Keys names;
    query_tile rows;
    prefill_record<Element> const* job;
  };
  template <class Keys>
  LOOPSERVE_HOST_DEVICE static constexpr index_t shared_bytes(int /*head_dim*/) {
    return sizeof(shared_layout<Keys>);
  }

  /// These queries of the job, which lies in global memory, at most tile_rows, and what `keys` names for them. All threads of the block come here. A row without
  /// a key is zero.
  template <class Keys>
  LOOPSERVE_DEVICE static void attend(prefill_record<Element> const* job, query_tile const& rows, Keys const& keys) {
    auto& shared = dev::shared<shared_layout<Keys>>();
    if (dev::thread() == 0) { shared.names = keys, shared.rows = rows, shared.job = job; }
    load_queries(dev::load_whole(job), rows, shared.q);
    dev::barrier();
    shared.names.template name<threads>(0, shared.named[0]);
    dev::barrier();
    if (shared.named[0].count > 0) { fetch(shared.keys, shared.named[0].keys); }
    state its;
    for (int t = 0; shared.named[t % 2].count > 0; ++t) {
      auto const& now = shared.named[t % 2];
      auto& next = shared.named[(t + 1) % 2];
      dev::copy_wait<0>();
      dev::barrier();  // the keys are there, and nobody reads the last values or names
      fetch(shared.values, now.values);
      shared.names.template name<threads>(t + 1, next);
      tile_cells const here = warp_rows * dev::warp() < shared.rows.count ? now.template cells<warp_rows>(warp_rows * dev::warp()) : tile_cells{};
      scores its_scores;
      if (here.blocks != 0) {
        take_scores(shared.q, shared.keys, here, its_scores);
        if (!here.all) { hide(now, its_scores); }
      }
      dev::copy_wait<0>();
      dev::barrier();  // the values are there, and nobody reads the keys
      if (next.count > 0) { fetch(shared.keys, next.keys); }
      if (here.blocks != 0) {
        fade(its_scores, its);
        add_values(shared.values, here, its_scores, its);
      }
    }
    write(dev::load_whole(shared.job), shared.rows, its);
  }

 private:
  // Fragments as dev::multiply_add has them: of 8 columns of a block of 16 rows. Entries 0 and 1 are of row lane / 4, 2 and 3 of the row 8 below.
  struct state {
    float sum[RowBlocks][Dim / 8][4] = {};
    float top[RowBlocks][2], weight[RowBlocks][2] = {};  // the lane's share of the weight
    LOOPSERVE_DEVICE state() {
      dev::unrolled<RowBlocks>([&](int r) { top[r][0] = top[r][1] = none; });
    }
  };
  struct scores {
    float at[RowBlocks][2 * blocks][4];
  };

  LOOPSERVE_DEVICE static int own_row(int r, int half) { return warp_rows * dev::warp() + 16 * r + 8 * half + dev::lane() / 4; }
  LOOPSERVE_DEVICE static int own_column() { return 2 * (dev::lane() % 4); }

  LOOPSERVE_DEVICE static void fetch(tile& to, Element const* const* rows) {
    to.template fetch<threads>(rows);
    dev::copy_commit();
  }

  // Scaled, so that 2^score is the weight; rows beyond the last are zero.
  LOOPSERVE_DEVICE static void load_queries(prefill_record<Element> const& job, query_tile const& rows, queries& q) {
    float const scale = 1.4426950408889634F * dev::rsqrt(static_cast<float>(Dim));
    dev::unrolled<tile_rows * queries::pieces / threads>([&](int i) {
      int const number = i * threads + dev::thread(), row = number / queries::pieces, piece = number % queries::pieces;
      dev::vec<float, 4> low{}, high{};
      if (row < rows.count) {
        float const* const from = rows.query(job, row) + 8 * piece;
        low = dev::load_vec<4>(from);
        high = dev::load_vec<4>(from + 4);
      }
      *reinterpret_cast<dev::vec<std::uint32_t, 4>*>(q.bytes + queries::place(row, piece)) = {
          dev::pack<Element>(scale * low[0], scale * low[1]), dev::pack<Element>(scale * low[2], scale * low[3]),
          dev::pack<Element>(scale * high[0], scale * high[1]), dev::pack<Element>(scale * high[2], scale * high[3])};
    });
  }

  // Where a lane reads: queries and values, of whose 16 rows the matrices 0 and 1 have the columns on the left, and keys, whose matrices 0 and 1 are the left
  // and right columns of 8 rows.
  LOOPSERVE_DEVICE static int query_place() { return queries::place(warp_rows * dev::warp() + dev::lane() % 16, dev::lane() / 16); }
  LOOPSERVE_DEVICE static int value_place() { return tile::place(dev::lane() % 16, dev::lane() / 16); }
  LOOPSERVE_DEVICE static int key_place() { return tile::place(dev::lane() / 16 * 8 + dev::lane() % 8, dev::lane() / 8 % 2); }

  // Of 16 columns of the warp's queries.
  template <int Step>
  LOOPSERVE_DEVICE static void load_step(queries const& q, std::uint32_t (&of)[RowBlocks][4]) {
    dev::unrolled<RowBlocks>([&](auto r) { q.template load<16 * r, Step>(of[r], query_place()); });
  }

  // Adds the products of 16 columns to the scores of 16 keys.
  template <int Block, int Step>
  LOOPSERVE_DEVICE static void add_products(std::uint32_t const (&q)[RowBlocks][4], tile const& keys, scores& to) {
    std::uint32_t k[4];
    keys.template load<16 * Block, Step>(k, key_place());
    dev::unrolled<RowBlocks>([&](int r) {
      dev::multiply_add<Element>(to.at[r][2 * Block], q[r], k[0], k[1]);
      dev::multiply_add<Element>(to.at[r][2 * Block + 1], q[r], k[2], k[3]);
    });
  }

  LOOPSERVE_DEVICE static void take_scores(queries const& q, tile const& keys, tile_cells const& here, scores& to) {
    to = {};
    std::uint32_t columns[RowBlocks][4];
    if (dev::popcount(here.blocks) > blocks / 2) {
      dev::unrolled<Dim / 16>([&](auto step) {
        load_step<step>(q, columns);
        dev::unrolled<blocks>([&](auto block) { add_products<block, step>(columns, keys, to); });
      });
    } else {
      dev::unrolled<blocks>([&](auto block) {
        if ((here.blocks >> block & 1) == 0) { return; }
        dev::unrolled<Dim / 16>([&](auto step) {
          load_step<step>(q, columns);
          add_products<block, step>(columns, keys, to);
        });
      });
    }
  }

  // Cells that are not attended to have no score.
  template <class Names>
  LOOPSERVE_DEVICE static void hide(Names const& names, scores& its) {
    dev::unrolled<2 * blocks>([&](int n) {
      dev::unrolled<2>([&](int column) {
        std::uint32_t const attending = names.attending(8 * n + own_column() + column, own_row(0, 0));
        dev::unrolled<RowBlocks>([&](int r) {
          dev::unrolled<2>([&](int half) {
            if ((attending >> (16 * r + 8 * half) & 1) == 0) { its.at[r][n][2 * half + column] = none; }
          });
        });
      });
    });
  }

  // The largest scores with these, and the sums in their measure. Where none has grown, which is the rule, the factors are 1.
  LOOPSERVE_DEVICE static void fade(scores const& of, state& its) {
    float higher[RowBlocks][2];
    bool grown = false;
    dev::unrolled<RowBlocks>([&](int r) {
      dev::unrolled<2>([&](int half) {
        float& most = higher[r][half];
        most = its.top[r][half];
        dev::unrolled<2 * blocks>([&](int n) { most = dev::larger_of(dev::larger_of(most, of.at[r][n][2 * half]), of.at[r][n][2 * half + 1]); });
        most = dev::larger_of(most, dev::shuffle_xor(most, 1));
        most = dev::larger_of(most, dev::shuffle_xor(most, 2));
        grown = grown || most != its.top[r][half];
      });
    });
    if (dev::ballot(grown) == 0) { return; }
    dev::unrolled<RowBlocks>([&](int r) {
      dev::unrolled<2>([&](int half) {
        float const factor = dev::exp2(its.top[r][half] - base_of(higher[r][half]));
        its.top[r][half] = higher[r][half];
        its.weight[r][half] = dev::product(its.weight[r][half], factor);  // not joined with the first of the weights that follow
        dev::unrolled<Dim / 8>([&](int d) { its.sum[r][d][2 * half] *= factor, its.sum[r][d][2 * half + 1] *= factor; });
      });
    });
  }

  // What scores are measured from: a row without one has weights of zero.
  LOOPSERVE_DEVICE static float base_of(float top) { return top == none ? 0 : top; }

  LOOPSERVE_DEVICE static void add_values(tile const& values, tile_cells const& here, scores& of, state& its) {
    float base[RowBlocks][2];
    dev::unrolled<RowBlocks>([&](int r) { base[r][0] = base_of(its.top[r][0]), base[r][1] = base_of(its.top[r][1]); });
    dev::unrolled<blocks>([&](auto block) {
      if ((here.blocks >> block & 1) == 0) { return; }
      std::uint32_t weights[RowBlocks][4];
      dev::unrolled<RowBlocks>([&](int r) {
        dev::unrolled<2>([&](int side) {
          auto& w = of.at[r][2 * block + side];
          dev::unrolled<4>([&](int j) {
            w[j] = dev::exp2(w[j] - base[r][j / 2]);
            its.weight[r][j / 2] += w[j];
          });
          weights[r][2 * side] = dev::pack<Element>(w[0], w[1]);
          weights[r][2 * side + 1] = dev::pack<Element>(w[2], w[3]);
        });
      });
      dev::unrolled<Dim / 16>([&](auto d) {
        std::uint32_t v[4];
        values.template load_transposed<16 * block, d>(v, value_place());
        dev::unrolled<RowBlocks>([&](int r) {
          dev::multiply_add<Element>(its.sum[r][2 * d], weights[r], v[0], v[1]);
          dev::multiply_add<Element>(its.sum[r][2 * d + 1], weights[r], v[2], v[3]);
        });
      });
    });
  }

  LOOPSERVE_DEVICE static void write(prefill_record<Element> const& job, query_tile const& rows, state const& its) {
    dev::unrolled<RowBlocks>([&](int r) {
      dev::unrolled<2>([&](int half) {
        float w = its.weight[r][half];
        w += dev::shuffle_xor(w, 1);
        w += dev::shuffle_xor(w, 2);
        float const share = w == 0 ? 0 : 1 / w;
        int const row = own_row(r, half);
        if (row >= rows.count) { return; }
        float* const out = rows.result(job, row) + own_column();
        dev::unrolled<Dim / 8>([&](int d) {
          dev::store(out + 8 * d, its.sum[r][d][2 * half] * share);
          dev::store(out + 8 * d + 1, its.sum[r][d][2 * half + 1] * share);
        });
      });
    });
  }
};

}  // namespace loopserve::detail
