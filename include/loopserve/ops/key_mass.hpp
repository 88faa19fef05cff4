// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/ops/lanes.hpp>

namespace loopserve {

/// How the query heads that share a KV head are made one score.
enum class head_reduce : std::uint8_t { mean, max };

struct key_mass_options {
  head_reduce reduce = head_reduce::mean;
  bool tail = false;        ///< the queries are the context's own last rows: row i sees keys up to its own place only
  bool value_norm = false;  ///< weigh each key's mass by the length of its value
  int pool = 1;             ///< > 1, odd: each score becomes the largest of `pool` neighbours (as SnapKV does, arXiv 2404.14469)
};

namespace detail {

/// scores[k] += softmax over k < seen of q . key_k / sqrt(head_dim).
template <class Element>
void add_softmax(float const* q, kv_view<Element> kv, int kv_head, int seen, double* work, double* scores) {
  double const scale = 1 / std::sqrt(static_cast<double>(kv.head_dim));
  double top = -std::numeric_limits<double>::infinity();
  for (int k = 0; k < seen; ++k) {
    Element const* const key = kv.key(k, kv_head);
    double sum = 0;
    for (int c = 0; c < kv.head_dim; ++c) { sum += static_cast<double>(q[c]) * static_cast<double>(static_cast<float>(key[c])); }
    work[k] = sum * scale;
    top = std::max(top, work[k]);
  }
  double weight = 0;
  for (int k = 0; k < seen; ++k) { weight += work[k] = std::exp(work[k] - top); }
  for (int k = 0; k < seen; ++k) { scores[k] += work[k] / weight; }
}

/// The last two options of key_mass on one KV head's scores.
template <class Element>
void finish_key_mass(kv_view<Element> kv, int kv_head, key_mass_options const& o, float* scores, std::vector<float>& work) {
  int const n = kv.length(kv_head);
  if (o.value_norm) {
    for (int k = 0; k < n; ++k) {
      Element const* const value = kv.value(k, kv_head);
      double sum = 0;
      for (int c = 0; c < kv.head_dim; ++c) { sum += static_cast<double>(static_cast<float>(value[c])) * static_cast<double>(static_cast<float>(value[c])); }
      scores[k] *= static_cast<float>(std::sqrt(sum));
    }
  }
  if (o.pool > 1) {
    work.assign(scores, scores + n);
    for (int k = 0; k < n; ++k) {
      auto const from = work.begin() + std::max(0, k - o.pool / 2), to = work.begin() + std::min(n, k + o.pool / 2 + 1);
      scores[k] = *std::max_element(from, to);
    }
  }
}

}  // namespace detail

/// How much attention each key of the context got (LoopServe, arXiv 2507.13681, phase 2): softmax over the context, summed over the queries, reduced over
/// the query heads of a KV head. q (n, heads, head_dim) after RoPE, the last axis dense; scores (kv_heads, kv.length()).
template <class Element>
void key_mass(reference const& b, tensor_view<float const, 3> q, kv_view<Element> kv, key_mass_options const& o, tensor_view<float, 2> scores) {
  int const n = kv.length();
  int const group = static_cast<int>(q.extent(1)) / kv.kv_heads;
  parallel_for(threads_for(b, q.size() * n), kv.kv_heads, [&](index_t head) {
    auto const kv_head = static_cast<int>(head);
    std::vector<double> work(static_cast<std::size_t>(n)), mass(static_cast<std::size_t>(n));
    std::vector<float> pooled;
    float* const out = scores.data() + head * scores.stride(0);
    for (int g = 0; g < group; ++g) {
      std::fill(mass.begin(), mass.end(), 0.0);
      for (index_t i = 0; i < q.extent(0); ++i) {
        int const seen = o.tail ? n - static_cast<int>(q.extent(0) - 1 - i) : n;
        detail::add_softmax(q.data() + i * q.stride(0) + (head * group + g) * q.stride(1), kv, kv_head, seen, work.data(), mass.data());
      }
      for (int k = 0; k < n; ++k) {
        auto const one = static_cast<float>(mass[static_cast<std::size_t>(k)]);
        if (g == 0) {
          out[k] = one;
        } else {
          out[k] = o.reduce == head_reduce::max ? std::max(out[k], one) : out[k] + one;
        }
      }
    }
    if (o.reduce == head_reduce::mean) {
      for (int k = 0; k < n; ++k) { out[k] /= static_cast<float>(group); }
    }
    detail::finish_key_mass(kv, kv_head, o, out, pooled);
  });
}

}  // namespace loopserve
