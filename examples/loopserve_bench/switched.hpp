// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/prefill/prefill_selector.hpp>

/// Components that one switch turns on and off, so that one engine, one cache and one history serve both sides of a comparison.
namespace bench {

using namespace loopserve;

using switch_type = std::shared_ptr<bool const>;

template <prefill_selector Selector>
class switched_selector {
 public:
  using backend_type = typename Selector::backend_type;
  struct options {
    switch_type on = std::make_shared<bool const>(true);
    typename Selector::options inner = {};
  };

  switched_selector(backend_type& backend, options o) : on_(o.on), inner_(backend, o.inner) {}

  template <class Element>
  void select(prefill_site site, tensor_view<float const, 3> q, kv_view<Element> kv, line_plan_view plan) {
    if (*on_) { inner_.select(site, q, kv, plan); }
  }

 private:
  switch_type on_;
  Selector inner_;
};

template <recalling_policy Policy>
class switched_compressor {
 public:
  using backend_type = typename Policy::backend_type;
  struct options {
    switch_type on = std::make_shared<bool const>(true);
    typename Policy::options inner = {};
  };

  switched_compressor(backend_type& backend, options o) : on_(o.on), inner_(backend, o.inner) {}

  template <class Element>
  void begin_turn(int layer, tensor_view<float const, 3> tail, kv_view<Element> kv) {
    if (*on_) { inner_.begin_turn(layer, tail, kv); }
  }
  void observe(int layer, tensor_view<float const, 2> q) {
    if (*on_) { inner_.observe(layer, q); }
  }
  bool due(int layer) { return *on_ && inner_.due(layer); }
  template <class Element>
  void choose(int layer, kv_view<Element> kv, kept_rows<backend_type>& keep) {
    inner_.choose(layer, kv, keep);
  }
  template <class Queue, class Element>
  void choose_on(Queue& queue, int layer, kv_view<Element> kv, kept_rows<backend_type>& keep)
    requires batched_policy<Policy>
  {
    inner_.choose_on(queue, layer, kv, keep);
  }
  bool beside() const
    requires overlapping_policy<Policy>
  {
    return inner_.beside();
  }
  void adopt(int layer)
    requires overlapping_policy<Policy>
  {
    inner_.adopt(layer);
  }
  template <class Element>
  void recall(int layer, tensor_view<float const, 2> q, kv_view<Element> kv, kept_rows<backend_type>& keep) {
    if (*on_) { inner_.recall(layer, q, kv, keep); }
  }
  kv_budget budget() const { return inner_.budget(); }
  void truncate(int tokens) { inner_.truncate(tokens); }
  switched_compressor fork() const { return switched_compressor(on_, inner_.fork()); }

 private:
  switched_compressor(switch_type on, Policy inner) : on_(std::move(on)), inner_(std::move(inner)) {}

  switch_type on_;
  Policy inner_;
};

}  // namespace bench
