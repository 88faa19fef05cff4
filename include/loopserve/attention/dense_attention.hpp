// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <loopserve/attention/attention_backend.hpp>
#include <loopserve/attention/attention_overrides.hpp>
#include <loopserve/attention/decode.hpp>
#include <loopserve/attention/dense.hpp>

namespace loopserve {

struct dense_attention_options {};

/// Attention that looks at no plan: what sparse prefill is compared with.
template <class Backend>
class dense_attention {
 public:
  using backend_type = Backend;
  using options = dense_attention_options;

  explicit dense_attention(Backend& backend, options = {}) : backend_(&backend) { detail::require_attention_overrides<Backend>(); }

  template <class Element>
  void prefill(std::span<prefill_job<Element> const> jobs) {
    attend_dense(*backend_, jobs);
  }

  template <class Element>
  void decode(std::span<decode_job<Element> const> jobs) {
    attend_decode(*backend_, jobs);
  }

 private:
  Backend* backend_;
};

static_assert(attention_backend<dense_attention<reference>>);

}  // namespace loopserve
