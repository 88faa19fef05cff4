// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/kv/any_storage.hpp>
#include <loopserve/prefill/line_plan.hpp>
#include <loopserve/serve/activations.hpp>
#include <loopserve/serve/engine_config.hpp>
#include <loopserve/serve/engine_options.hpp>
#include <loopserve/serve/logits_rows.hpp>
#include <loopserve/serve/step_inputs.hpp>

namespace loopserve {

/// How likely a model finds a text.
struct score_result {
  std::vector<double> logprobs;    ///< natural logarithm of the probability of each token after the first, given all before it
  std::vector<float> last_logits;  ///< (vocabulary): what the model says comes after the last token
};

/// Reads tokens as one turn's input, in chunks and with the configuration's selector, and scores every one. Nothing is generated, so the KV policy has no
/// part in it.
template <engine_config Config>
class scorer {
 public:
  using backend_type = typename Config::backend;

  /// `options` as the engine takes them, settled (see settle_options).
  scorer(backend_type& backend, typename Config::model& network, engine_options<Config> const& options)
      : model_(&network),
        options_(options),
        storage_(backend, {network.shape().layers, network.shape().kv_heads, network.shape().head_dim}, options.storage),
        selector_(backend, options.selector),
        attention_(backend, options.attention),
        scratch_(backend, network.shape(), options.chunk_tokens),
        inputs_(backend, options.chunk_tokens),
        plan_(backend),
        logits_(backend, block_rows, network.shape().vocabulary) {}

  /// `heard(done, total)` is told of every chunk. Throws error for no token and for ids outside the vocabulary, capacity_error for more tokens than the
  /// context has.
  template <class Heard>
  score_result run(std::span<token_id const> ids, Heard&& heard) {
    admit(ids);
    score_result result;
    result.logprobs.reserve(ids.size());
    visit_storage(storage_, [&](auto& storage) {
      auto const id = storage.open();
      storage.reserve(id, static_cast<int>(ids.size()));
      int chunk = 0;
      for (std::size_t done = 0; done < ids.size(); ++chunk) {
        auto const rows = std::min(ids.size() - done, static_cast<std::size_t>(options_.chunk_tokens));
        read(storage, id, ids.subspan(done, rows), static_cast<int>(done), chunk);
        judge(ids, done, rows, result);
        done += rows;
        heard(done, ids.size());
      }
      storage.release(id);
    });
    return result;
  }
  score_result run(std::span<token_id const> ids) {
    return run(ids, [](std::size_t, std::size_t) {});
  }

 private:
  static constexpr int block_rows = 32;  ///< whose logits are held at once

  void admit(std::span<token_id const> ids) const {
    if (ids.empty()) { throw error("the text gives no token, so there is nothing to score"); }
    auto const limit = options_.context_tokens > 0 ? options_.context_tokens : model_->shape().max_context;
    if (ids.size() > static_cast<std::size_t>(limit)) {
      throw capacity_error("the text has " + std::to_string(ids.size()) + " tokens, the context " + std::to_string(limit));
    }
    for (auto const t : ids) {
      if (raw(t) < 0 || raw(t) >= model_->shape().vocabulary) {
        throw error("token " + std::to_string(raw(t)) + " is outside the model's vocabulary of " + std::to_string(model_->shape().vocabulary));
      }
    }
  }

  /// Leaves the chunk's hidden rows in the scratch.
  template <class Storage>
  void read(Storage& storage, sequence_id id, std::span<token_id const> ids, int done, int chunk) {
    int const rows = static_cast<int>(ids.size());
    std::vector<int> positions(ids.size());
    std::iota(positions.begin(), positions.end(), done);
    auto x = scratch_.hidden(rows);
    auto q = scratch_.queries(rows);
    auto k = scratch_.keys(rows);
    auto v = scratch_.values(rows);
    auto const placed = inputs_.positions(positions);
    model_->embed(inputs_.ids(ids), x);
    for (int layer = 0; layer < model_->shape().layers; ++layer) {
      model_->project(layer, x, placed, q, k, v);
      storage.append(id, layer, k, v);
      attend(layer, chunk, q, storage.view(id, layer));
      model_->mix(layer, scratch_.attended(rows), x);
    }
  }

  template <class Element>
  void attend(int layer, int chunk, tensor_view<float const, 3> q, kv_view<Element> kv) {
    int const rows = static_cast<int>(q.extent(0));
    prefill_job<Element> job{q, kv, nullptr, model_->window(layer), scratch_.attended(rows)};
    line_plan_view plan{};
    if (job.window == 0) {
      plan_.reset(static_cast<int>(q.extent(1)), rows, kv.length());
      plan = plan_.view();
      selector_.select({layer, 0, chunk, options_.seed}, q, kv, plan);
      job.plan = &plan;
    }
    attention_.prefill(std::span<prefill_job<Element> const>(&job, 1));
  }

  void judge(std::span<token_id const> ids, std::size_t done, std::size_t rows, score_result& result) {
    auto const hidden = scratch_.hidden(static_cast<int>(rows));
    for (std::size_t first = 0; first < rows; first += block_rows) {
      auto const block = static_cast<index_t>(std::min<std::size_t>(block_rows, rows - first));
      model_->logits(hidden.rows(static_cast<index_t>(first), block), logits_.rows(static_cast<int>(block)));
      for (index_t i = 0; i < block; ++i) {
        std::span<float const> const row = logits_.row(static_cast<int>(i));
        auto const next = done + first + static_cast<std::size_t>(i) + 1;
        if (next < ids.size()) {
          result.logprobs.push_back(logprob(row, ids[next]));
        } else {
          result.last_logits.assign(row.begin(), row.end());
        }
      }
    }
  }

  static double logprob(std::span<float const> logits, token_id token) {
    double const best = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (float const l : logits) { sum += std::exp(l - best); }
    return logits[static_cast<std::size_t>(raw(token))] - best - std::log(sum);
  }

  typename Config::model* model_;
  engine_options<Config> options_;
  typename Config::storage storage_;
  typename Config::selector selector_;
  typename Config::attention attention_;
  activations<backend_type> scratch_;
  step_inputs<backend_type> inputs_;
  line_plan<backend_type> plan_;
  logits_rows<backend_type> logits_;
};

}  // namespace loopserve
