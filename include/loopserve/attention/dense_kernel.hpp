// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include <loopserve/attention/key_tile_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/load_whole.hpp>
#include <loopserve/dev/reduce.hpp>

namespace loopserve {

/// Causal attention of a tile of one query head's rows over the keys that they see, for any head_dim that is a multiple of 8: softmax in float32 by online
/// rescaling (Milakov and Gimelshein, 2018), no tensor cores. Block (tile of rows, the last first, since they see most; query head; job).
///
/// The block's warps share tiles of 32 keys; each has rows of its own. Keys of the next tile are under way while the values are summed, and values while the next
/// scores are taken. Tiles begin at multiples of 32 keys, so that a row's bits do not depend on the rows beside it. A value that is not a number may show in
/// rows up to a tile earlier than its own.
template <class Element, int Dim>
struct dense_kernel {
  static constexpr int warps = 4;
  static constexpr int threads = 32 * warps;
  static constexpr int rows_of_warp = Dim > 128 ? 4 : 8;
  static constexpr int tile_rows = warps * rows_of_warp;
  static constexpr int pairs = Dim / 64;  // of columns that a lane has
  static constexpr float none = -std::numeric_limits<float>::infinity();
  using key_tile = detail::key_tile<Element>;

  prefill_record<Element> const* records;
  prefill_bounds most;

  struct lists {
    Element const* keys[key_tile::keys];  // null: after the last
    Element const* values[key_tile::keys];
    float weights[warps][key_tile::keys][rows_of_warp];
  };

  LOOPSERVE_HOST_DEVICE int query_bytes() const { return tile_rows * most.head_dim * 4; }
  LOOPSERVE_HOST_DEVICE int tile_bytes() const { return key_tile::keys * key_tile::row_bytes(most.head_dim); }
  LOOPSERVE_HOST_DEVICE index_t vecs() const { return (query_bytes() + 2 * tile_bytes() + static_cast<int>(sizeof(lists)) + 15) / 16; }
  index_t shared_bytes() const { return vecs() * 16; }

  LOOPSERVE_DEVICE void operator()() const {
    auto const job = dev::load_whole(records + dev::block().z);
    int const head = dev::block().y, first_row = (dev::blocks().x - 1 - dev::block().x) * tile_rows;
    if (first_row >= job.rows || head >= job.heads) { return; }
    int const rows = job.rows - first_row < tile_rows ? job.rows - first_row : tile_rows;
    int const kv_head = head / (job.heads / job.kv.kv_heads), position = job.kv.tokens - job.rows + first_row;

    auto* const memory = reinterpret_cast<unsigned char*>(dev::shared_array<dev::vec<float, 4>>(vecs()));
    auto* const q = reinterpret_cast<float*>(memory);
    load_queries(job, head, first_row, rows, q);

    int const own_row = dev::warp() * rows_of_warp;
    float weight[rows_of_warp], sum[rows_of_warp][pairs][2];
    accumulate(job, kv_head, position, rows, own_row, q, memory + query_bytes(), weight, sum);

    for (int r = 0; r < rows_of_warp; ++r) {
      float const w = dev::warp_reduce(weight[r], dev::plus{});
      if (own_row + r >= rows) { continue; }
      auto* const out = job.out + (first_row + own_row + r) * job.out_row_stride + head * job.out_head_stride;
      for (int j = 0; j < pairs; ++j) {
        int const column = 2 * (dev::lane() + 32 * j);
        if (column >= job.head_dim) { break; }
        dev::store(out + column, sum[r][j][0] / w);
        dev::store(out + column + 1, sum[r][j][1] / w);
      }
    }
  }

 private:
  // Scaled, so that 2^score is the weight; rows beyond the last are zero.
  LOOPSERVE_DEVICE static void load_queries(prefill_record<Element> const& job, int head, int first_row, int rows, float* q) {
    float const scale = 1.4426950408889634F * dev::rsqrt(static_cast<float>(job.head_dim));
    for (int i = dev::thread(); i < tile_rows * job.head_dim; i += threads) {
      int const r = i / job.head_dim, d = i % job.head_dim;
      q[i] = r < rows ? scale * dev::load(job.q + (first_row + r) * job.q_row_stride + head * job.q_head_stride + d) : 0;
    }
  }

  // Row r of the tile has position + r. All threads come here.
  LOOPSERVE_DEVICE void accumulate(prefill_record<Element> const& job, int kv_head, int position, int rows, int own_row, float const* q,
                                   unsigned char* keys, float (&weight)[rows_of_warp], float (&sum)[rows_of_warp][pairs][2]) const {
    auto* const values = keys + tile_bytes();
    auto& shared = *reinterpret_cast<lists*>(values + tile_bytes());
    auto& weights = shared.weights[dev::warp()];
    int const end = position + rows;
    int const seen = job.window > 0 && position >= job.window ? position - job.window + 1 : 0;
    int first = seen - seen % key_tile::keys;

    float top[rows_of_warp];
    for (int r = 0; r < rows_of_warp; ++r) {
      top[r] = none;
      weight[r] = 0;
      for (int j = 0; j < pairs; ++j) { sum[r][j][0] = sum[r][j][1] = 0; }
    }
    locate(job, kv_head, first, end, shared);
    dev::barrier();
    key_tile::fetch(shared.keys, job.head_dim, keys, dev::thread(), threads);
    dev::copy_commit();
    key_tile::fetch(shared.values, job.head_dim, values, dev::thread(), threads);
    dev::copy_commit();
    for (; first < end; first += key_tile::keys) {
      bool const more = first + key_tile::keys < end;
      dev::copy_wait<1>();
      dev::barrier();
      float score[rows_of_warp] = {}, fade[rows_of_warp];
      key_tile::take_scores(q + own_row * job.head_dim, job.head_dim, keys, score);
      for (int r = 0; r < rows_of_warp; ++r) {
        int const behind = position + own_row + r - (first + dev::lane());
        bool const visible = behind >= 0 && (job.window <= 0 || behind < job.window) && first + dev::lane() < end;
        float const best = dev::warp_reduce(visible ? score[r] : none, dev::larger{});
        float const next = best > top[r] ? best : top[r];
        float const base = next == none ? 0 : next;
        float const w = visible ? dev::exp2(score[r] - base) : 0;
        fade[r] = dev::exp2(top[r] - base);
        weight[r] = weight[r] * fade[r] + w;
        top[r] = next;
        weights[dev::lane()][r] = w;
      }
      if (more) { locate(job, kv_head, first + key_tile::keys, end, shared); }
      dev::barrier();
      if (more) { key_tile::fetch(shared.keys, job.head_dim, keys, dev::thread(), threads); }
      dev::copy_commit();
      dev::copy_wait<1>();
      dev::barrier();
      key_tile::add_values(weights, job.head_dim, values, fade, sum);
      dev::barrier();
      if (more) { key_tile::fetch(shared.values, job.head_dim, values, dev::thread(), threads); }
      dev::copy_commit();
    }
    dev::copy_wait<0>();
  }

  // The addresses of a tile's rows, by the first warp.
  LOOPSERVE_DEVICE static void locate(prefill_record<Element> const& job, int kv_head, int first, int end, lists& to) {
    if (dev::warp() != 0) { return; }
    int const i = first + dev::lane();
    to.keys[dev::lane()] = i < end ? dev::key(job.kv, i, kv_head) : nullptr;
    to.values[dev::lane()] = i < end ? dev::value(job.kv, i, kv_head) : nullptr;
  }
};

}  // namespace loopserve
