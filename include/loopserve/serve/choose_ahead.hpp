// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include <loopserve/kv/any_storage.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/ops/each_job.hpp>
#include <loopserve/serve/dialogue.hpp>
#include <loopserve/serve/prefill_step.hpp>
#include <loopserve/serve/stopwatch.hpp>

namespace loopserve {

/// The choices of a batched_policy, before a token's first layer: for all layers of all conversations at once that are due.
template <class Config>
class choose_ahead {
 public:
  using backend_type = typename Config::backend;
  using dialogue_type = dialogue<Config>;

  choose_ahead(backend_type& backend, typename Config::model& network, typename Config::storage& storage)
      : backend_(&backend), model_(&network), storage_(&storage) {}

  /// What is chosen is gathered too, unless the policy recalls: then every token's rows are gathered after its recall.
  void run(std::span<dialogue_type* const> batch) {
    visit_storage(*storage_, [&](auto& storage) { choose(due_layers(storage, batch)); });
  }

 private:
  template <class Element>
  struct due_layer {
    dialogue_type* of;
    int layer;
    kv_view<Element> context;
  };

  template <class Storage>
  auto due_layers(Storage& storage, std::span<dialogue_type* const> batch) {
    std::vector<due_layer<typename Storage::element_type>> due;
    for (auto* d : batch) {
      for (int layer = 0; layer < model_->shape().layers; ++layer) {
        if (!d->compressor.due(layer)) { continue; }
        due.push_back({d, layer, prefill_step<Config>::context_of(storage.view(d->id, layer), model_->window(layer), d->turn.input)});
      }
    }
    return due;
  }

  template <class Element>
  void choose(std::vector<due_layer<Element>> const& due) {
    if (due.empty()) { return; }
    double whole = 0, told = 0;
    {
      stopwatch const timed(whole);
      each_job(*backend_, std::span(due), [&](auto& queue, due_layer<Element> const& d) { told += choose(queue, d); });
    }
    for (auto const& d : due) {
      d.of->turn.report.ms.reselection_ms += (whole - told) / static_cast<double>(due.size());
      ++d.of->turn.report.selections;
    }
  }

  /// The milliseconds that it took here: on a device not those of what was put off.
  template <class Queue, class Element>
  double choose(Queue& queue, due_layer<Element> const& d) {
    auto& ms = d.of->turn.report.ms;
    auto& choice = d.of->turn.layers[static_cast<std::size_t>(d.layer)];
    double chose = 0, gathered = 0;
    {
      stopwatch const timed(chose);
      d.of->compressor.choose_on(queue, d.layer, d.context, choice.keep);
    }
    if constexpr (!recalling_policy<typename Config::compressor>) {
      stopwatch const timed(gathered);
      if (!choice.keep.all()) { choice.rows.assign(queue, d.context, choice.keep.view()); }
    }
    ms.reselection_ms += chose;
    ms.gather_ms += gathered;
    return chose + gathered;
  }

  backend_type* backend_;
  typename Config::model* model_;
  typename Config::storage* storage_;
};

}  // namespace loopserve
