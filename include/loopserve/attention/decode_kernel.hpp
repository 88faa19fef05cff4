// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include <loopserve/attention/decode_record.hpp>
#include <loopserve/attention/key_tile_kernel.hpp>
#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/load_whole.hpp>
#include <loopserve/dev/reduce.hpp>
#include <loopserve/dev/unroll.hpp>

namespace loopserve {

/// One split of one KV head of one job, for up to Group of its query heads, so that a row of K and V is read once for all of them. Softmax in float32 by
/// online rescaling (Milakov and Gimelshein, 2018), splits as in Flash-Decoding. Block (split, KV head and stretch of its group, job).
///
/// Each warp has tiles of its own: 32 keys, one a lane for the scores; for the sums a lane has columns. Keys of the next tile are under way while the
/// values are summed, and values while the next scores are taken.
template <class Element, int Group, int Dim>
struct decode_kernel {
  static constexpr int warps = Dim * static_cast<int>(sizeof(Element)) > 512 ? 2 : 4;
  static constexpr int threads = 32 * warps;
  using key_tile = detail::key_tile<Element>;
  static constexpr int tile = key_tile::keys;
  static constexpr int pairs = Dim / 64;  // of columns that a lane has
  static constexpr float none = -std::numeric_limits<float>::infinity();

  decode_record<Element> const* records;
  decode_bounds most;
  float* states;  // (jobs, splits, heads, 2 + head_dim): top, weight, sums

  struct lists {
    Element const* keys[tile];  // null: passed over
    Element const* values[tile];
    float weights[tile][Group];
    float tops[Group], sums[Group];
  };

  LOOPSERVE_HOST_DEVICE int query_bytes() const { return Group * most.head_dim * 4; }
  LOOPSERVE_HOST_DEVICE int warp_bytes() const {
    return 2 * tile * key_tile::row_bytes(most.head_dim) + static_cast<int>(sizeof(lists) + 15) / 16 * 16;
  }
  index_t shared_bytes() const { return query_bytes() + warps * warp_bytes(); }

  LOOPSERVE_DEVICE void operator()() const {
    auto const job = dev::load_whole(records + dev::block().z);
    int const group = job.heads / job.kv_heads, stretches = (group + Group - 1) / Group;
    int const kv_head = dev::block().y / stretches, first_of_group = dev::block().y % stretches * Group;
    int const split = dev::block().x;
    if (split >= job.splits || kv_head >= job.kv_heads) { return; }
    int const count = group - first_of_group < Group ? group - first_of_group : Group;
    int const first_head = kv_head * group + first_of_group;

    auto* const memory = reinterpret_cast<unsigned char*>(dev::shared_array<dev::vec<float, 4>>(shared_vecs()));
    auto* const q = reinterpret_cast<float*>(memory);
    load_queries(job, first_head, count, q);
    dev::barrier();

    accumulate(job, kv_head, split, q, memory);
    dev::barrier();
    write_state(job, split, first_head, count, memory);
  }

 private:
  LOOPSERVE_HOST_DEVICE index_t shared_vecs() const { return (query_bytes() + warps * warp_bytes()) / 16; }
  LOOPSERVE_DEVICE unsigned char* of_warp(unsigned char* memory, int warp) const { return memory + query_bytes() + warp * warp_bytes(); }
  LOOPSERVE_DEVICE lists& lists_of(unsigned char* memory, int warp) const {
    return *reinterpret_cast<lists*>(of_warp(memory, warp) + 2 * tile * key_tile::row_bytes(most.head_dim));
  }

  // Scaled, so that 2^score is the weight; heads beyond the group are zero.
  LOOPSERVE_DEVICE void load_queries(decode_record<Element> const& job, int first_head, int count, float* q) const {
    float const scale = 1.4426950408889634F * dev::rsqrt(static_cast<float>(job.head_dim));
    for (int i = dev::thread(); i < Group * job.head_dim; i += threads) {
      int const g = i / job.head_dim, d = i % job.head_dim;
      q[i] = g < count ? scale * dev::load(job.q + (first_head + g) * job.q_stride + d) : 0;
    }
  }

  // The tokens before the first one that may be visible.
  LOOPSERVE_DEVICE static int hidden(kv_view<Element> const& part, int length, int first_position) {
    if (part.positions != nullptr || first_position <= part.first) { return 0; }
    return first_position - part.first < length ? first_position - part.first : length;
  }

  // Where the lane's key lies, into the lists; whether it is visible.
  LOOPSERVE_DEVICE static bool locate(kv_view<Element> const& part, int i, int kv_head, int first_position, lists& to) {
    if (dev::position(part, i, kv_head) < first_position) { return false; }
    to.keys[dev::lane()] = dev::key(part, i, kv_head);
    to.values[dev::lane()] = dev::value(part, i, kv_head);
    return true;
  }

  LOOPSERVE_DEVICE void accumulate(decode_record<Element> const& job, int kv_head, int split, float const* q, unsigned char* memory) const {
    auto& own = lists_of(memory, dev::warp());
    auto* const keys = of_warp(memory, dev::warp());
    auto* const values = keys + tile * key_tile::row_bytes(most.head_dim);
    int const length0 = job.parts[0].tokens > 0 ? dev::length(job.parts[0], kv_head) : 0;
    int const length1 = job.parts[1].tokens > 0 ? dev::length(job.parts[1], kv_head) : 0;
    int const hidden0 = hidden(job.parts[0], length0, job.first_position), hidden1 = hidden(job.parts[1], length1, job.first_position);
    int const in_first = length0 - hidden0, total = in_first + length1 - hidden1;
    int const left = total - split * job.split_keys, from = split * job.split_keys;
    int const to = from + (left < job.split_keys ? left : job.split_keys);

    auto const locate_tile = [&](int first) {
      int const i = first + dev::lane();
      own.keys[dev::lane()] = nullptr;
      own.values[dev::lane()] = nullptr;
      if (i >= to) { return false; }
      return i < in_first ? locate(job.parts[0], hidden0 + i, kv_head, job.first_position, own)
                          : locate(job.parts[1], hidden1 + i - in_first, kv_head, job.first_position, own);
    };

    float top[Group], weight[Group], sum[Group][pairs][2];
    for (int g = 0; g < Group; ++g) {
      top[g] = none;
      weight[g] = 0;
      for (int j = 0; j < pairs; ++j) { sum[g][j][0] = sum[g][j][1] = 0; }
    }
    int first = from + dev::warp() * tile;
    bool visible = false;
    if (first < to) {
      visible = locate_tile(first);
      dev::warp_barrier();
      key_tile::fetch(own.keys, job.head_dim, keys, dev::lane(), 32);
      dev::copy_commit();
      key_tile::fetch(own.values, job.head_dim, values, dev::lane(), 32);
      dev::copy_commit();
    }
    for (; first < to; first += warps * tile) {
      bool const more = first + warps * tile < to;
      dev::copy_wait<1>();
      dev::warp_barrier();
      float score[Group] = {};
      key_tile::take_scores(q, job.head_dim, keys, score);
      float fade[Group];
      for (int g = 0; g < Group; ++g) {
        float const best = dev::warp_reduce(visible ? score[g] : none, dev::larger{});
        float const next = best > top[g] ? best : top[g];
        float const base = next == none ? 0 : next;
        float const w = visible ? dev::exp2(score[g] - base) : 0;
        fade[g] = dev::exp2(top[g] - base);
        weight[g] = weight[g] * fade[g] + w;
        top[g] = next;
        own.weights[dev::lane()][g] = w;
      }
      if (more) { visible = locate_tile(first + warps * tile); }
      dev::warp_barrier();
      if (more) { key_tile::fetch(own.keys, job.head_dim, keys, dev::lane(), 32); }
      dev::copy_commit();
      dev::copy_wait<1>();
      dev::warp_barrier();
      key_tile::add_values(own.weights, job.head_dim, values, fade, sum);
      dev::warp_barrier();
      if (more) { key_tile::fetch(own.values, job.head_dim, values, dev::lane(), 32); }
      dev::copy_commit();
    }
    dev::copy_wait<0>();
    // The tile of keys is free for the sums.
    auto* const sums = reinterpret_cast<float*>(keys);
    for (int g = 0; g < Group; ++g) {
      float const w = dev::warp_reduce(weight[g], dev::plus{});
      if (dev::lane() == 0) { own.tops[g] = top[g], own.sums[g] = w; }
      for (int j = 0; j < pairs; ++j) {
        int const column = 2 * (dev::lane() + 32 * j);
        if (column < job.head_dim) {
          sums[g * job.head_dim + column] = sum[g][j][0];
          sums[g * job.head_dim + column + 1] = sum[g][j][1];
        }
      }
    }
  }

  // The warps' shares together.
  LOOPSERVE_DEVICE void write_state(decode_record<Element> const& job, int split, int first_head, int count, unsigned char* memory) const {
    for (int i = dev::thread(); i < count * job.head_dim; i += threads) {
      int const g = i / job.head_dim, d = i % job.head_dim;
      float top = none;
      for (int w = 0; w < warps; ++w) { top = dev::larger{}(top, lists_of(memory, w).tops[g]); }
      float const base = top == none ? 0 : top;
      float weight = 0, sum = 0;
      for (int w = 0; w < warps; ++w) {
        float const share = dev::exp2(lists_of(memory, w).tops[g] - base);
        weight += share * lists_of(memory, w).sums[g];
        sum += share * reinterpret_cast<float const*>(of_warp(memory, w))[i];
      }
      auto const row = (index_t{dev::block().z} * most.splits + split) * most.heads + first_head + g;
      auto* const state = states + row * (most.head_dim + 2);
      if (d == 0) {
        dev::store(state, top);
        dev::store(state + 1, weight);
      }
      dev::store(state + 2 + d, sum);
    }
  }
};

/// The splits of one head of one job together; a head without a token is zero. Block (head, job), launched after decode_kernel.
template <class Element>
struct decode_merge_kernel {
  static constexpr int threads = detail::decode_most_splits;
  static constexpr int together = 16;  // states that are read at once
  static constexpr float none = -std::numeric_limits<float>::infinity();
  struct shared_layout {
    dev::reduce_scratch<float> scratch;
    float shares[detail::decode_most_splits];
  };

  decode_record<Element> const* records;
  decode_bounds most;
  float const* states;

  LOOPSERVE_DEVICE void operator()() const {
    auto const job = dev::load_whole(records + dev::block().y);
    int const head = dev::block().x;
    if (head >= job.heads) { return; }
    auto& memory = dev::shared<shared_layout>();
    auto const state = [&](int split) {
      return states + ((index_t{dev::block().y} * most.splits + split) * most.heads + head) * (most.head_dim + 2);
    };
    int const own = dev::thread();
    float const own_top = own < job.splits ? dev::load(state(own)) : none;
    float const top = dev::block_reduce(own_top, none, dev::larger{}, memory.scratch);
    float const share = own < job.splits ? dev::exp2(own_top - (top == none ? 0 : top)) : 0;
    float const weight = dev::block_reduce(own < job.splits ? share * dev::load(state(own) + 1) : 0, 0.0F, dev::plus{}, memory.scratch);
    memory.shares[own] = share;
    dev::barrier();
    for (int d = own; d < job.head_dim; d += threads) {
      float sum = 0;
      for (int first = 0; first < job.splits; first += together) {
        float its[together];
        dev::unrolled<together>([&](int i) { its[i] = first + i < job.splits ? dev::load(state(first + i) + 2 + d) : 0; });
        dev::unrolled<together>([&](int i) { sum += memory.shares[first + i] * its[i]; });
      }
      dev::store(job.out + head * job.out_stride + d, weight == 0 ? 0 : sum / weight);
    }
  }
};

}  // namespace loopserve
