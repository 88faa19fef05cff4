// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <vector>

#include <loopserve/attention/attention_backend.hpp>
#include <loopserve/testing/backend_memory.hpp>
#include <loopserve/testing/plan_memory.hpp>

namespace loopserve::testing {

/// Attention for jobs in the host's memory, as attention_laws has them, by one whose backend cannot read that: copies jobs there and results back, in the same
/// layouts.
template <attention_backend Attention>
class attention_of_host_jobs {
 public:
  using backend_type = typename Attention::backend_type;

  explicit attention_of_host_jobs(backend_type& b, typename Attention::options o = {}) : backend_(&b), attention_(b, o) {}

  template <class Element>
  void prefill(std::span<prefill_job<Element> const> jobs) {
    std::deque<prefill_there<Element>> there;
    std::vector<prefill_job<Element>> its;
    for (auto const& job : jobs) { its.push_back(there.emplace_back(*backend_, job).job(job)); }
    attention_.prefill(std::span<prefill_job<Element> const>(its));
    for (std::size_t i = 0; i < jobs.size(); ++i) { there[i].out.bring(*backend_, jobs[i].out); }
  }

  template <class Element>
  void decode(std::span<decode_job<Element> const> jobs) {
    std::deque<decode_there<Element>> there;
    std::vector<decode_job<Element>> its;
    for (auto const& job : jobs) { its.push_back(there.emplace_back(*backend_, job).job(job)); }
    attention_.decode(std::span<decode_job<Element> const>(its));
    for (std::size_t i = 0; i < jobs.size(); ++i) { there[i].out.bring(*backend_, jobs[i].out); }
  }

 private:
  /// A strided tensor with what lies between its rows.
  struct rows_there {
    template <class T, int Rank>
    rows_there(backend_type& b, tensor_view<T, Rank> host) : memory(uploaded(b, std::vector<float>(host.data(), host.data() + reach(host)))) {}

    template <class T, int Rank>
    static index_t reach(tensor_view<T, Rank> host) {
      index_t last = 0;
      for (int r = 0; r < Rank; ++r) { last += (host.extent(r) - 1) * host.stride(r); }
      return host.size() == 0 ? 0 : last + 1;
    }
    template <class T, int Rank>
    tensor_view<T, Rank> view(tensor_view<T, Rank> host) {
      return {memory.data(), host.extents(), host.strides()};
    }
    template <int Rank>
    void bring(backend_type& b, tensor_view<float, Rank> host) const {
      auto const rows = downloaded(b, memory.data(), memory.size());
      std::copy(rows.begin(), rows.end(), host.data());
    }

    typename backend_type::template buffer<float> memory;
  };

  template <class Element>
  struct prefill_there {
    prefill_there(backend_type& b, prefill_job<Element> const& host) : q(b, host.q), out(b, host.out), kv(b, host.kv) {
      if (host.plan != nullptr) { plan.emplace(b, *host.plan); }
    }
    prefill_job<Element> job(prefill_job<Element> const& host) {
      return {q.view(host.q), kv.view(), plan ? &plan->view() : nullptr, host.window, out.view(host.out)};
    }
    rows_there q, out;
    uploaded_kv<backend_type, Element> kv;
    std::optional<uploaded_plan<backend_type>> plan;
  };

  template <class Element>
  struct decode_there {
    decode_there(backend_type& b, decode_job<Element> const& host) : q(b, host.q), out(b, host.out), first(b, host.parts[0]), second(b, host.parts[1]) {}
    decode_job<Element> job(decode_job<Element> const& host) {
      return {q.view(host.q), {first.view(), second.view()}, host.first_position, out.view(host.out)};
    }
    rows_there q, out;
    uploaded_kv<backend_type, Element> first, second;
  };

  backend_type* backend_;
  Attention attention_;
};

}  // namespace loopserve::testing
