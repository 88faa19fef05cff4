// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <loopserve/core/element.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/rng.hpp>

#include "measure.cuh"

namespace bench {

/// Numbers near a normal distribution, made on the device: a product of random data draws more power than one of zeros.
template <class T>
struct random_kernel {
  static constexpr int threads = 256;
  T* out;
  ls::index_t count;
  std::uint64_t seed;
  float scale;

  LOOPSERVE_DEVICE void operator()() const {
    ls::index_t const step = ls::index_t{ls::dev::blocks().x} * threads;
    for (ls::index_t i = ls::index_t{ls::dev::block().x} * threads + ls::dev::thread(); i < count; i += step) {
      float sum = 0;
      for (std::uint64_t part = 0; part < 4; ++part) {
        auto x = (static_cast<std::uint64_t>(i) * 4 + part + 1) * 0x9e3779b97f4a7c15ULL + seed * 0xd1342543de82ef95ULL;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
        sum += static_cast<float>(x >> 40) * 0x1p-24F - 0.5F;
      }
      ls::dev::store(out + i, static_cast<T>(sum * 1.732F * scale));
    }
  }
};

template <class T>
ls::cuda_buffer<T> random_numbers(ls::cuda const& b, ls::index_t count, std::uint64_t seed, float scale = 1) {
  auto out = b.make_buffer<T>(count);
  b.launch({4 * b.multiprocessors()}, random_kernel<T>{out.data(), count, seed, scale});
  return out;
}
inline ls::cuda_buffer<ls::bf16> random_bf16(ls::cuda const& b, ls::index_t count, std::uint64_t seed, float scale = 1) {
  return random_numbers<ls::bf16>(b, count, seed, scale);
}

/// Keys and values of one layer in pages of 64 tokens, token by token inside a KV head's pages, as the engine's paged storage has them.
template <class Element>
class random_kv_of {
 public:
  random_kv_of(ls::cuda const& b, int tokens, int kv_heads, int head_dim, std::uint64_t seed)
      : rows_(random_numbers<Element>(b, 2 * ls::index_t{tokens} * kv_heads * head_dim, seed)) {
    int const page = 64, pages = (tokens + page - 1) / page;
    std::vector<Element const*> table;
    for (ls::index_t line = 0; line < 2 * kv_heads; ++line) {
      for (ls::index_t p = 0; p < pages; ++p) { table.push_back(rows_.data() + (line * tokens + p * page) * head_dim); }
    }
    table_ = b.make_buffer<Element const*>(static_cast<ls::index_t>(table.size()));
    b.copy_to_device(table_.data(), table.data(), table_.bytes());
    view_.key_pages = table_.data();
    view_.value_pages = table_.data() + ls::index_t{kv_heads} * pages;
    view_.page_table_stride = pages;
    view_.page_shift = 6;
    view_.row_stride = head_dim;
    view_.kv_heads = kv_heads;
    view_.head_dim = head_dim;
    view_.tokens = tokens;
  }

  ls::kv_view<Element> view() const { return view_; }
  /// Keys, then values, each (kv_heads, tokens, head_dim).
  Element* rows() const { return const_cast<Element*>(rows_.data()); }

 private:
  ls::cuda_buffer<Element> rows_;
  ls::cuda_buffer<Element const*> table_;
  ls::kv_view<Element> view_;
};
using random_kv = random_kv_of<ls::bf16>;

}  // namespace bench
