// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/key_logits_kernel.hpp>
#include <loopserve/ops/key_mass.hpp>
#include <loopserve/ops/key_mass_kernel.hpp>
#include <loopserve/ops/softmax_mass_kernel.hpp>

namespace loopserve {

namespace detail {

/// Logits of all tokens, by tensor cores where they are of use.
template <device_backend B, class Element>
void take_logits(B const& b, key_logits_view<Element> const& of) {
  if constexpr (sizeof(Element) == 2) {
    if (key_block<Element>::takes(of.kv)) {
      using kernel = matrix_key_logits_kernel<Element>;
      return b.launch({blocks_for(of.kv.tokens - of.first_token, key_block<Element>::keys), of.kv.kv_heads}, kernel{of});
    }
  }
  using kernel = key_logits_kernel<Element>;
  b.launch({blocks_for(of.kv.tokens - of.first_token, kernel::threads), of.kv.kv_heads, blocks_for(of.rows, kernel::rows_per_block)}, kernel{of});
}

/// The mass by `heads` query heads of each KV head from `first_head` on, times `factor`.
template <device_backend B, class Element>
void mass_of_heads(B const& b, tensor_view<float const, 3> q, kv_view<Element> kv, int first_head, int heads, bool tail, float factor,
                   tensor_view<float, 2> scores, index_t held = logits_at_once) {
  int const n = kv.length(), queries = static_cast<int>(q.extent(0));
  index_t const stride = logits_stride(n), lines = index_t{kv.kv_heads} * heads;
  int const at_once = queries_at_once(queries, lines, stride, held);
  auto logits = b.template make_buffer<float>(at_once * lines * stride);
  float const scale = static_cast<float>(1 / std::sqrt(static_cast<double>(kv.head_dim)));
  for (int first = 0; first == 0 || first < queries; first += at_once) {
    int const rows = std::min(at_once, queries - first) * heads;
    int const heads_per_kv_head = static_cast<int>(q.extent(1)) / kv.kv_heads;
    take_logits(b, key_logits_view<Element>{q, kv, 0, first, first_head, heads, rows, heads_per_kv_head, scale, logits.data(), stride});
    masked_logits const seen{logits.data(), stride, rows, heads, tail ? n - (queries - 1 - first) : n, tail ? 1 : 0};
    add_softmax_mass(b, seen, factor, first > 0, scores);
  }
}

}  // namespace detail

/// The reference's key_mass, its sums in float32. Keys of 16 bits whose head_dim is a multiple of 16 and whose rows start at multiples of 16 bytes go through the
/// tensor cores, queries as sums of two numbers of 16 bits, and are read once for what is held at once; others once for eight query rows.
/// Logits of at most 64 MiB (or of one query, where that is more) are held at once.
template <device_backend B, class Element>
void key_mass(B const& b, tensor_view<float const, 3> q, kv_view<Element> kv, key_mass_options const& o, tensor_view<float, 2> scores) {
  check(q.extent(2) == kv.head_dim && q.extent(1) % kv.kv_heads == 0 && scores.extent(0) == kv.kv_heads &&
            scores.extent(1) == kv.length() && q.stride(2) == 1 && scores.stride(1) == 1,
        "key_mass: q, the keys and scores must agree in shape");
  if (scores.size() == 0) { return; }
  int const n = kv.length(), group = static_cast<int>(q.extent(1)) / kv.kv_heads;
  bool const each = o.reduce == head_reduce::max && group > 1;
  auto scratch = b.template make_buffer<float>(each || o.pool > 1 ? scores.size() : 0);
  tensor_view<float, 2> const other(scratch.data(), {kv.kv_heads, n});
  if (each) {
    detail::mass_of_heads(b, q, kv, 0, 1, o.tail, 1, scores);
    for (int g = 1; g < group; ++g) {
      detail::mass_of_heads(b, q, kv, g, 1, o.tail, 1, other);
      b.launch({blocks_for(n, larger_mass_kernel::threads), kv.kv_heads}, larger_mass_kernel{other, scores});
    }
  } else {
    float const factor = o.reduce == head_reduce::mean ? 1 / static_cast<float>(group) : 1;
    detail::mass_of_heads(b, q, kv, 0, group, o.tail, factor, scores);
  }
  if (o.value_norm) {
    using kernel = weigh_by_value_kernel<Element>;
    b.launch({blocks_for(n, kernel::keys_per_block), kv.kv_heads}, kernel{kv, scores});
  }
  if (o.pool > 1) {
    for (int h = 0; h < kv.kv_heads; ++h) {
      b.copy_inside(other.data() + index_t{h} * n, scores.data() + h * scores.stride(0), n * index_t{sizeof(float)});
    }
    b.launch({blocks_for(n, pool_mass_kernel::threads), kv.kv_heads}, pool_mass_kernel{other, o.pool, scores});
  }
}

}  // namespace loopserve
