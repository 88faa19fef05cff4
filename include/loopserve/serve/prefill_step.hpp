// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/kv/any_storage.hpp>
#include <loopserve/ops/copy.hpp>
#include <loopserve/prefill/line_plan.hpp>
#include <loopserve/prefill/line_tally.hpp>
#include <loopserve/serve/activations.hpp>
#include <loopserve/serve/cancelled_turn.hpp>
#include <loopserve/serve/dialogue.hpp>
#include <loopserve/serve/step_inputs.hpp>
#include <loopserve/serve/stopwatch.hpp>

namespace loopserve {

/// Runs one chunk of one conversation's new input through all layers.
template <class Config>
class prefill_step {
 public:
  using backend_type = typename Config::backend;

  prefill_step(backend_type& backend, typename Config::model& network, typename Config::storage& storage, typename Config::selector& selector,
               typename Config::attention& attention, activations<backend_type>& scratch, step_inputs<backend_type>& inputs, std::uint64_t seed)
      : backend_(&backend), model_(&network), storage_(&storage), selector_(&selector), attention_(&attention), scratch_(&scratch), inputs_(&inputs),
        seed_(seed), plan_(backend) {}

  /// The next `rows` tokens of the turn's input. On the last chunk the logits of the last row are written to `logits` (1, vocabulary), the compressor has
  /// begun its turn, what `finish` queues is behind them, and a device has done what was queued. Throws detail::cancelled_turn, looked for once a layer; layers may then hold part of the chunk, which
  /// the caller takes back.
  template <class Finish>
  void run(dialogue<Config>& d, int rows, tensor_view<float, 2> logits, Finish finish) {
    auto& turn = d.turn;
    auto const& shape = model_->shape();
    stopwatch const all(turn.report.ms.prefill_ms);
    int const done = static_cast<int>(d.cached.size());
    bool const last = done + rows == turn.input;
    auto x = scratch_->hidden(rows);
    auto const ids = std::span<token_id const>(turn.tokens).subspan(d.cached.size(), static_cast<std::size_t>(rows));
    std::vector<int> positions(static_cast<std::size_t>(rows));
    std::iota(positions.begin(), positions.end(), done);
    auto const placed = inputs_->positions(positions);
    model_->embed(inputs_->ids(ids), x);
    for (int layer = 0; layer < shape.layers; ++layer) {
      if (d.cancelled.load(std::memory_order_relaxed)) { throw detail::cancelled_turn{}; }
      auto q = scratch_->queries(rows);
      auto k = scratch_->keys(rows);
      auto v = scratch_->values(rows);
      model_->project(layer, x, placed, q, k, v);
      visit_storage(*storage_, [&](auto& storage) {
        storage.append(d.id, layer, k, v);
        attend(d, layer, q, storage.view(d.id, layer));
        keep_tail(d, layer, q, last, storage.view(d.id, layer));
      });
      model_->mix(layer, scratch_->attended(rows), x);
    }
    if (last) {
      model_->logits(x.rows(rows - 1, 1), logits);
      finish();
      backend_->synchronize();
    }
    d.cached.insert(d.cached.end(), ids.begin(), ids.end());
    ++turn.chunk;
  }

 private:
  template <class Element>
  void attend(dialogue<Config>& d, int layer, tensor_view<float const, 3> q, kv_view<Element> kv) {
    auto& report = d.turn.report;
    int const rows = static_cast<int>(q.extent(0));
    int const heads = static_cast<int>(q.extent(1));
    int const window = model_->window(layer);
    prefill_job<Element> job{q, kv, nullptr, window, scratch_->attended(rows)};
    line_plan_view plan{};
    // A window is dense inside: it already bounds what a row costs.
    if (window == 0) {
      stopwatch const timed(report.ms.selection_ms);
      plan_.reset(heads, rows, kv.length());
      plan = plan_.view();
      selector_->select({layer, report.turn, d.turn.chunk, seed_}, q, kv, plan);
      job.plan = &plan;
    }
    {
      stopwatch const timed(report.ms.attention_ms);
      attention_->prefill(std::span<prefill_job<Element> const>(&job, 1));
    }
    double const share = static_cast<double>(rows) / (d.turn.input - d.turn.first);
    if (window == 0) { tally_lines(*backend_, plan, share, d.turn.lines.data() + layer * heads); }
    count(report, layer, heads, rows, kv.length(), window, share);
  }

  /// What is known without a look at the plan, which the turn's tally holds.
  static void count(turn_report& report, int layer, int heads, int rows, int keys, int window, double share) {
    index_t inside = 0;
    for (int i = 0; window > 0 && i < rows; ++i) { inside += std::min(window, keys - rows + i + 1); }
    for (int h = 0; h < heads; ++h) {
      auto& head = report.coverage[static_cast<std::size_t>(layer * heads + h)];
      head.causal_cells += window > 0 ? inside : causal_cells(rows, keys);
      head.cells += inside;
      head.covered += window > 0 ? share : 0;
    }
  }

  /// Hands the last input rows' queries to the compressor once the last of them is known.
  template <class Element>
  void keep_tail(dialogue<Config>& d, int layer, tensor_view<float const, 3> q, bool last, kv_view<Element> kv) {
    auto& turn = d.turn;
    int const total = turn.input;
    int const done = static_cast<int>(d.cached.size());
    int const rows = static_cast<int>(q.extent(0));
    index_t const row_size = q.extent(1) * q.extent(2);
    int const tail_first = std::max(turn.first, total - tail_rows);
    int const from = std::max(done, tail_first);
    int const until = done + rows;
    if (from >= until) { return; }
    auto& buffer = turn.tail[static_cast<std::size_t>(layer)];
    if (!last || from > tail_first) {  // the tail spans chunks
      if (buffer.size() == 0) { buffer = backend_->template make_buffer<float>((total - tail_first) * row_size); }
      auto const fresh = q.rows(from - done, until - from);
      copy_elements(*backend_, fresh.data(), (until - from) * row_size, buffer.data() + (from - tail_first) * row_size);
    }
    if (!last) { return; }
    auto const tail = buffer.size() == 0 ? q.rows(from - done, until - from)
                                         : tensor_view<float const, 3>(buffer.data(), {total - tail_first, q.extent(1), q.extent(2)});
    d.compressor.begin_turn(layer, tail, context_of(kv, model_->window(layer), total));
    buffer = {};
  }

 public:
  /// What a compressor may choose from: everything before the answer, or what of it a sliding window still reaches.
  template <class Element>
  static kv_view<Element> context_of(kv_view<Element> kv, int window, int context) {
    int const first = window > 0 ? std::max(0, context - window) : 0;
    return kv.slice(first, context - first);
  }

 private:
  backend_type* backend_;
  typename Config::model* model_;
  typename Config::storage* storage_;
  typename Config::selector* selector_;
  typename Config::attention* attention_;
  activations<backend_type>* scratch_;
  step_inputs<backend_type>* inputs_;
  std::uint64_t seed_;
  line_plan<backend_type> plan_;
};

}  // namespace loopserve
