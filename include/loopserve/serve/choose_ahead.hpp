// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <utility>
#include <vector>

#include <loopserve/kv/any_storage.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/ops/each_job.hpp>
#include <loopserve/serve/dialogue.hpp>
#include <loopserve/serve/prefill_step.hpp>
#include <loopserve/serve/second_queue.hpp>
#include <loopserve/serve/stopwatch.hpp>

namespace loopserve {

/// The choices of a batched_policy, before a token's first layer: for all layers of all conversations at once that are due. Those that an overlapping_policy wants
/// beside the step are made there, on a device that has one on a second queue, and are adopted when the step ends; which token they serve first is the same on every backend.
template <class Config>
class choose_ahead {
  using compressor = typename Config::compressor;

 public:
  using backend_type = typename Config::backend;
  using dialogue_type = dialogue<Config>;

  choose_ahead(backend_type& backend, typename Config::model& network, typename Config::storage& storage)
      : backend_(&backend), model_(&network), storage_(&storage), second_(backend) {}

  /// A step under way; when it goes, the step has ended, well or not: what was chosen beside it holds, and what is queued later on comes behind it.
  class step {
   public:
    explicit step(choose_ahead& of) : of_(&of) {}
    step(step const&) = delete;
    step& operator=(step const&) = delete;
    ~step() { of_->end(); }

   private:
    choose_ahead* of_;
  };

  /// What is chosen is gathered too, unless the policy recalls: then every token's rows are gathered after its recall.
  step begin(std::span<dialogue_type* const> batch) {
    visit_storage(*storage_, [&](auto& storage) {
      auto const due = due_layers(storage, batch, false);
      choose(due, [&](auto jobs, auto&& body) { each_job(*backend_, jobs, body); });
      for (auto const& d : due) { adopt(*d.of, d.layer); }
      auto const later = due_layers(storage, batch, true);
      for (auto const& d : later) { under_way_.emplace_back(d.of, d.layer); }
      try {
        choose(later, [&](auto jobs, auto&& body) { second_.run(*backend_, jobs, body); });
      } catch (...) {
        end();
        throw;
      }
    });
    return step(*this);
  }

 private:
  template <class Element>
  struct due_layer {
    dialogue_type* of;
    int layer;
    kv_view<Element> context;
    bool beside;
  };

  static layer_choice<backend_type>& choice_of(dialogue_type& d, int layer) { return d.turn.layers[static_cast<std::size_t>(layer)]; }

  template <class Storage>
  auto due_layers(Storage& storage, std::span<dialogue_type* const> batch, bool beside) {
    std::vector<due_layer<typename Storage::element_type>> due;
    for (auto* d : batch) {
      for (int layer = 0; layer < model_->shape().layers; ++layer) {
        if (!d->compressor.due(layer) || beside != is_beside(*d, layer)) { continue; }
        due.push_back({d, layer, prefill_step<Config>::context_of(storage.view(d->id, layer), model_->window(layer), d->turn.input), beside});
      }
    }
    return due;
  }

  /// The first choice of an answer is not: recall needs it, and until then a step reads the whole context.
  static bool is_beside(dialogue_type& d, int layer) {
    if constexpr (overlapping_policy<compressor>) { return d.compressor.beside() && !choice_of(d, layer).keep.all(); }
    return false;
  }

  static void adopt(dialogue_type& d, int layer) {
    if constexpr (overlapping_policy<compressor>) { d.compressor.adopt(layer); }
  }

  void end() noexcept {
    if (under_way_.empty()) { return; }
    second_.join(*backend_);
    for (auto const& [d, layer] : under_way_) {
      adopt(*d, layer);
      if constexpr (!recalling_policy<compressor>) { choice_of(*d, layer).adopt_next(); }
    }
    under_way_.clear();
  }

  template <class Element, class Each>
  void choose(std::vector<due_layer<Element>> const& due, Each&& each) {
    if (due.empty()) { return; }
    double whole = 0, told = 0;
    {
      stopwatch const timed(whole);
      each(std::span(due), [&](auto& queue, due_layer<Element> const& d) { told += choose(queue, d); });
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
    auto& choice = choice_of(*d.of, d.layer);
    auto& keep = d.beside ? choice.next_keep : choice.keep;
    double chose = 0, gathered = 0;
    {
      stopwatch const timed(chose);
      d.of->compressor.choose_on(queue, d.layer, d.context, keep);
    }
    if constexpr (!recalling_policy<compressor>) {
      stopwatch const timed(gathered);
      if (!keep.all()) { (d.beside ? choice.next_rows : choice.rows).assign(queue, d.context, keep.view()); }
    }
    ms.reselection_ms += chose;
    ms.gather_ms += gathered;
    return chose + gathered;
  }

  backend_type* backend_;
  typename Config::model* model_;
  typename Config::storage* storage_;
  second_queue<backend_type> second_;
  std::vector<std::pair<dialogue_type*, int>> under_way_;
};

}  // namespace loopserve
