// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/key_logits_kernel.hpp>
#include <loopserve/ops/key_sketch.hpp>
#include <loopserve/ops/key_sketch_kernel.hpp>
#include <loopserve/ops/softmax_mass_kernel.hpp>

namespace loopserve {

namespace detail {

/// Calls `body.template operator()<Bits>()`.
template <class Body>
void with_sketch_bits(int bits, Body body) {
  check(bits == 1 || bits == 2 || bits == 4, "a key sketch has 1, 2 or 4 bits");
  if (bits == 1) { return body.template operator()<1>(); }
  if (bits == 2) { return body.template operator()<2>(); }
  body.template operator()<4>();
}

}  // namespace detail

/// The reference's sketch_keys, bit for bit.
template <device_backend B, class Element>
void sketch_keys(B const& b, kv_view<Element> kv, int from, int to, key_sketch_view sketch) {
  check(kv.kv_heads == sketch.kv_heads && kv.head_dim == sketch.head_dim, "sketch_keys: the sketch and the keys must agree in shape");
  if (to <= from) { return; }
  detail::with_sketch_bits(sketch.bits, [&]<int Bits>() {
    b.launch({to - from, sketch.kv_heads}, sketch_keys_kernel<Element, Bits>{kv, from, sketch});
  });
}

/// The reference's sketch_scores. The codes are read once for four query heads; products on tensor cores, queries as sums of two f16: |q * step| / sqrt(head_dim) is below 65504.
template <device_backend B, class Element>
void sketch_scores(B const& b, tensor_view<float const, 3> q, kv_view<Element> kv, key_sketch_view sketch, tensor_view<float, 2> scores) {
  check(kv.kv_heads == sketch.kv_heads && kv.head_dim == sketch.head_dim && q.extent(2) == kv.head_dim && q.extent(1) % kv.kv_heads == 0 &&
            scores.extent(0) == kv.kv_heads && scores.extent(1) == kv.length() && q.stride(2) == 1,
        "sketch_scores: q, the keys, the sketch and scores must agree in shape");
  check(reinterpret_cast<std::uintptr_t>(sketch.codes) % 16 == 0, "sketch_scores: the codes begin at a multiple of 16 bytes");
  int const n = kv.length(), group = static_cast<int>(q.extent(1)) / kv.kv_heads, sketched = sketch.groups * sketch_group;
  check(sketched <= n, "sketch_scores: the sketch holds more than the context");
  if (scores.size() == 0) { return; }
  index_t const stride = detail::logits_stride(n);
  int const at_once = detail::queries_at_once(q.extent(0), q.extent(1), stride);
  auto logits = b.template make_buffer<float>(at_once * q.extent(1) * stride);
  float const scale = static_cast<float>(1 / std::sqrt(static_cast<double>(kv.head_dim)));
  for (int first = 0; first == 0 || first < q.extent(0); first += at_once) {
    int const rows = std::min(at_once, static_cast<int>(q.extent(0)) - first) * group;
    detail::with_sketch_bits(sketch.bits, [&]<int Bits>() {
      using kernel = sketch_logits_kernel<Bits>;
      b.launch({blocks_for(sketch.groups, kernel::groups_per_block), kv.kv_heads, blocks_for(rows, kernel::rows_per_block)},
               kernel{q, sketch, first, group, rows, scale, logits.data(), stride});
    });
    using tail = key_logits_kernel<Element>;
    b.launch({blocks_for(n - sketched, tail::threads), kv.kv_heads, blocks_for(rows, tail::rows_per_block)},
             tail{{q, kv, sketched, first, 0, group, rows, group, scale, logits.data(), stride}});
    detail::add_softmax_mass(b, {logits.data(), stride, rows, group, n, 0}, 1, first > 0, scores);
  }
}

}  // namespace loopserve
