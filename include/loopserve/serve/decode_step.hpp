// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/kv/any_storage.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/ops/kept_share.hpp>
#include <loopserve/serve/activations.hpp>
#include <loopserve/serve/choose_ahead.hpp>
#include <loopserve/serve/dialogue.hpp>
#include <loopserve/serve/prefill_step.hpp>
#include <loopserve/serve/replayed_steps.hpp>
#include <loopserve/serve/step_inputs.hpp>
#include <loopserve/serve/stopwatch.hpp>

namespace loopserve {

/// Feeds one pending token of each of several conversations. Products are shared by the batch, everything else is each conversation's own.
template <class Config>
class decode_step {
 public:
  using backend_type = typename Config::backend;
  using dialogue_type = dialogue<Config>;

  decode_step(backend_type& backend, typename Config::model& network, typename Config::storage& storage, typename Config::attention& attention,
              activations<backend_type>& scratch, step_inputs<backend_type>& inputs)
      : backend_(&backend), model_(&network), storage_(&storage), attention_(&attention), scratch_(&scratch), inputs_(&inputs), ahead_(backend, network, storage) {}

  /// Logits of the tokens after: (batch.size(), vocabulary), and what `last` queues behind them. Room in the cache was reserved when the turns began. A device has done
  /// what was queued on return.
  template <class Last>
  void run(std::span<dialogue_type* const> batch, tensor_view<float, 2> logits, Last last) {
    double elapsed = 0;
    {
      stopwatch const all(elapsed);
      [[maybe_unused]] auto const step = chosen_ahead(batch);
      std::vector<sequence_id> who;
      for (auto const* d : batch) { who.push_back(d->id); }
      steps_.run(*backend_, std::move(who), [&] {
        queue(batch, logits);
        last();
      });
      backend_->synchronize();
    }
    for (auto* d : batch) {
      d->cached.push_back(d->turn.tokens.back());
      d->turn.report.ms.decode_ms += elapsed / static_cast<double>(batch.size());
    }
  }

  /// What a device replayed of the steps so far.
  step_counts counts() const { return steps_.counts(); }

 private:
  static constexpr bool chooses_ahead = batched_policy<typename Config::compressor>;

  /// To be held while the step goes on.
  auto chosen_ahead(std::span<dialogue_type* const> batch) {
    if constexpr (chooses_ahead) {
      return ahead_.begin(batch);
    } else {
      return nullptr;
    }
  }

  void queue(std::span<dialogue_type* const> batch, tensor_view<float, 2> logits) {
    auto const& shape = model_->shape();
    int const n = static_cast<int>(batch.size());
    std::vector<token_id> ids;
    std::vector<int> positions;
    for (auto const* d : batch) {
      ids.push_back(d->turn.tokens.back());
      positions.push_back(static_cast<int>(d->cached.size()));
    }
    auto x = scratch_->hidden(n);
    auto const placed = inputs_->positions(positions);
    model_->embed(inputs_->ids(ids), x);
    for (int layer = 0; layer < shape.layers; ++layer) {
      auto q = scratch_->queries(n);
      auto k = scratch_->keys(n);
      auto v = scratch_->values(n);
      model_->project(layer, x, placed, q, k, v);
      visit_storage(*storage_, [&](auto& storage) {
        for (int i = 0; i < n; ++i) { storage.append(batch[static_cast<std::size_t>(i)]->id, layer, k.rows(i, 1), v.rows(i, 1)); }
        attend(storage, batch, layer, q, scratch_->attended(n));
      });
      model_->mix(layer, scratch_->attended(n), x);
    }
    model_->logits(x, logits);
  }

  template <class Storage>
  void attend(Storage& storage, std::span<dialogue_type* const> batch, int layer, tensor_view<float const, 3> q, tensor_view<float, 3> out) {
    using element = typename Storage::element_type;
    std::vector<decode_job<element>> jobs;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      auto& d = *batch[i];
      auto const row = static_cast<index_t>(i);
      choose(d, layer, q[row], storage.view(d.id, layer));
      jobs.push_back(job_of(d, layer, q[row], storage.view(d.id, layer), out[row]));
    }
    double elapsed = 0;
    {
      stopwatch const timed(elapsed);
      attention_->decode(std::span<decode_job<element> const>(jobs));
    }
    for (auto* d : batch) { d->turn.report.ms.decode_attention_ms += elapsed / static_cast<double>(batch.size()); }
  }

  template <class Element>
  void choose(dialogue_type& d, int layer, tensor_view<float const, 2> q, kv_view<Element> kv) {
    auto& ms = d.turn.report.ms;
    auto& choice = d.turn.layers[static_cast<std::size_t>(layer)];
    auto const context = prefill_step<Config>::context_of(kv, model_->window(layer), d.turn.input);
    bool changed = false;
    {
      stopwatch const timed(ms.reselection_ms);
      d.compressor.observe(layer, q);
      if constexpr (!chooses_ahead) {
        if (d.compressor.due(layer)) {
          d.compressor.choose(layer, context, choice.keep);
          ++d.turn.report.selections;
          changed = true;
        }
      }
    }
    if constexpr (recalling_policy<typename Config::compressor>) {
      stopwatch const timed(ms.recall_ms);
      d.compressor.recall(layer, q, context, choice.keep);
      changed = true;
    }
    if (changed && !choice.keep.all()) {
      stopwatch const timed(ms.gather_ms);
      choice.rows.assign(*backend_, context, choice.keep.view());
    }
    count(d, context.length(), choice.keep);
  }

  template <class Element>
  decode_job<Element> job_of(dialogue_type& d, int layer, tensor_view<float const, 2> q, kv_view<Element> kv, tensor_view<float, 2> out) {
    int const window = model_->window(layer);
    int const first = window > 0 ? std::max(0, kv.length() - window) : 0;
    auto& choice = d.turn.layers[static_cast<std::size_t>(layer)];
    if (choice.keep.all()) { return {q, {kv.slice(first, kv.length() - first), kv_view<Element>{}}, 0, out}; }
    return {q, {choice.rows.template view<Element>(), kv.slice(d.turn.input, kv.length() - d.turn.input)}, first, out};
  }

  void count(dialogue_type& d, int context, kept_rows<backend_type>& keep) {
    auto& report = d.turn.report;
    if (context == 0) { return; }
    report.kept_share_count += 1;
    if (keep.all()) {
      report.kept_share_sum += 1;
    } else {
      add_kept_share(*backend_, keep.view(), context, d.turn.kept_share.data());
    }
  }

  backend_type* backend_;
  typename Config::model* model_;
  typename Config::storage* storage_;
  typename Config::attention* attention_;
  activations<backend_type>* scratch_;
  step_inputs<backend_type>* inputs_;
  choose_ahead<Config> ahead_;
  replayed_steps<backend_type> steps_;
};

}  // namespace loopserve
