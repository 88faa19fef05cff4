// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include <loopserve/attention/key_names_kernel.hpp>
#include <loopserve/attention/key_tile_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/attention/query_tile_kernel.hpp>
#include <loopserve/dev/reduce.hpp>

namespace loopserve::detail {

/// Attention of a tile of queries over the keys that someone names, for any head_dim that is a multiple of 8: softmax in float32 by online
/// rescaling (Milakov and Gimelshein, 2018), no tensor cores.
///
/// The block's warps share tiles of 32 keys; each has rows of its own. Keys of the next tile are under way while the values are summed, and values while the next
/// scores are taken. A value that is not a number may show in rows that do not attend to it, where it lies in a tile with keys that they attend to.
template <class Element, int Dim>
struct scalar_attend {
  using element_type = Element;
  static constexpr int warps = 4;
  static constexpr int threads = 32 * warps;
  static constexpr int rows_of_warp = Dim > 128 ? 4 : 8;
  static constexpr int tile_rows = warps * rows_of_warp;
  static constexpr int tile_keys = 32;
  static constexpr int pairs = Dim / 64;  // of columns that a lane has
  static constexpr float none = -std::numeric_limits<float>::infinity();
  using key_tile = detail::key_tile<Element>;

  template <class Keys>
  struct lists {
    typename Keys::names named[2];  // of the current tile and the next one
    float weights[warps][tile_keys][rows_of_warp];
    Keys names;
  };

  LOOPSERVE_HOST_DEVICE static constexpr int query_bytes(int head_dim) { return tile_rows * head_dim * 4; }
  LOOPSERVE_HOST_DEVICE static constexpr int tile_bytes(int head_dim) { return tile_keys * key_tile::row_bytes(head_dim); }
  template <class Keys>
  LOOPSERVE_HOST_DEVICE static constexpr index_t shared_bytes(int head_dim) {
    return (query_bytes(head_dim) + 2 * tile_bytes(head_dim) + static_cast<int>(sizeof(lists<Keys>)) + 15) / 16 * 16;
  }

  /// These queries of the job, which lies in global memory, at most tile_rows, and what `keys` names for them. All threads of the block come here. A row without
  /// a key is zero.
  template <class Keys>
  LOOPSERVE_DEVICE static void attend(prefill_record<Element> const* record, query_tile const& rows, Keys const& keys) {
    auto const job = dev::load_whole(record);
    auto* const memory = reinterpret_cast<unsigned char*>(dev::shared_array<dev::vec<float, 4>>(shared_bytes<Keys>(job.head_dim) / 16));
    auto* const q = reinterpret_cast<float*>(memory);
    load_queries(job, rows, q);

    int const own_row = dev::warp() * rows_of_warp;
    float weight[rows_of_warp], sum[rows_of_warp][pairs][2];
    accumulate(job, own_row, q, memory + query_bytes(job.head_dim), keys, weight, sum);

    for (int r = 0; r < rows_of_warp; ++r) {
      float const w = dev::warp_reduce(weight[r], dev::plus{});
      if (own_row + r >= rows.count) { continue; }
      auto* const out = rows.result(job, own_row + r);
      for (int j = 0; j < pairs; ++j) {
        int const column = 2 * (dev::lane() + 32 * j);
        if (column >= job.head_dim) { break; }
        dev::store(out + column, w == 0 ? 0 : sum[r][j][0] / w);
        dev::store(out + column + 1, w == 0 ? 0 : sum[r][j][1] / w);
      }
    }
  }

 private:
  // Scaled, so that 2^score is the weight; rows beyond the last are zero.
  LOOPSERVE_DEVICE static void load_queries(prefill_record<Element> const& job, query_tile const& rows, float* q) {
    float const scale = 1.4426950408889634F * dev::rsqrt(static_cast<float>(job.head_dim));
    for (int i = dev::thread(); i < tile_rows * job.head_dim; i += threads) {
      int const r = i / job.head_dim, d = i % job.head_dim;
      q[i] = r < rows.count ? scale * dev::load(rows.query(job, r) + d) : 0;
    }
  }

  template <class Keys>
  LOOPSERVE_DEVICE static void accumulate(prefill_record<Element> const& job, int own_row, float const* q, unsigned char* tile, Keys const& keys,
                                          float (&weight)[rows_of_warp], float (&sum)[rows_of_warp][pairs][2]) {
    auto* const values = tile + tile_bytes(job.head_dim);
    auto& shared = *reinterpret_cast<lists<Keys>*>(values + tile_bytes(job.head_dim));
    auto& weights = shared.weights[dev::warp()];
    float top[rows_of_warp];
    for (int r = 0; r < rows_of_warp; ++r) {
      top[r] = none;
      weight[r] = 0;
      for (int j = 0; j < pairs; ++j) { sum[r][j][0] = sum[r][j][1] = 0; }
    }
    if (dev::thread() == 0) { shared.names = keys; }
    dev::barrier();
    shared.names.template name<threads>(0, shared.named[0]);
    dev::barrier();
    if (shared.named[0].count > 0) {
      key_tile::fetch(shared.named[0].keys, job.head_dim, tile, dev::thread(), threads);
      dev::copy_commit();
      key_tile::fetch(shared.named[0].values, job.head_dim, values, dev::thread(), threads);
      dev::copy_commit();
    }
    for (int t = 0; shared.named[t % 2].count > 0; ++t) {
      auto& next = shared.named[(t + 1) % 2];
      dev::copy_wait<1>();
      dev::barrier();
      float score[rows_of_warp] = {}, fade[rows_of_warp];
      key_tile::take_scores(q + own_row * job.head_dim, job.head_dim, tile, score);
      auto const attending = shared.named[t % 2].attending(dev::lane(), own_row);
      for (int r = 0; r < rows_of_warp; ++r) {
        bool const visible = (attending >> r & 1) != 0;
        float const best = dev::warp_reduce(visible ? score[r] : none, dev::larger{});
        float const higher = best > top[r] ? best : top[r];
        float const base = higher == none ? 0 : higher;
        float const w = visible ? dev::exp2(score[r] - base) : 0;
        fade[r] = dev::exp2(top[r] - base);
        weight[r] = weight[r] * fade[r] + w;
        top[r] = higher;
        weights[dev::lane()][r] = w;
      }
      shared.names.template name<threads>(t + 1, next);
      dev::barrier();
      bool const more = next.count > 0;
      if (more) { key_tile::fetch(next.keys, job.head_dim, tile, dev::thread(), threads); }
      dev::copy_commit();
      dev::copy_wait<1>();
      dev::barrier();
      key_tile::add_values(weights, job.head_dim, values, fade, sum);
      dev::barrier();
      if (more) { key_tile::fetch(next.values, job.head_dim, values, dev::thread(), threads); }
      dev::copy_commit();
    }
    dev::copy_wait<0>();
  }
};

}  // namespace loopserve::detail
