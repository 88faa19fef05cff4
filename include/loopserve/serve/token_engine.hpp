// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/kv/any_storage.hpp>
#include <loopserve/serve/decode_step.hpp>
#include <loopserve/serve/dialogue.hpp>
#include <loopserve/serve/engine_config.hpp>
#include <loopserve/serve/engine_options.hpp>
#include <loopserve/serve/logits_rows.hpp>
#include <loopserve/serve/prefill_step.hpp>
#include <loopserve/serve/step_inputs.hpp>
#include <loopserve/serve/token_choice.hpp>

namespace loopserve {

/// What a step brought to one conversation: a token of its answer, or the turn's end (its report is then the dialogue's last, and `failure` is set where it failed).
template <class Config>
struct turn_event {
  dialogue<Config>* who = nullptr;
  bool finished = false;
  token_id token{};
};

/// What an answer is to be generated with.
struct turn_request {
  int max_tokens = 512;
  sampling_options sampling = {};
};

/// Holds conversations as tokens and advances all that have a turn under way, a step at a time (continuous batching). It knows no text.
/// One thread drives it; only dialogue::cancelled may be set from another.
template <engine_config Config>
class token_engine {
 public:
  using backend_type = typename Config::backend;
  using dialogue_type = dialogue<Config>;

  token_engine(backend_type& backend, typename Config::model network, cache_shape shape, engine_options<Config> const& options, std::vector<token_id> stop_tokens)
      : backend_(&backend),
        options_(options),
        model_(std::move(network)),
        storage_(backend, shape, options.storage),
        selector_(backend, options.selector),
        attention_(backend, options.attention),
        scheduler_(options.scheduler),
        stop_tokens_(std::move(stop_tokens)),
        scratch_(backend, model_.shape(), std::max(options.chunk_tokens, decode_rows)),
        inputs_(backend, std::max(options.chunk_tokens, decode_rows)),
        logits_(backend, decode_rows, model_.shape().vocabulary),
        choice_(backend, decode_rows),
        prefill_(backend, model_, storage_, selector_, attention_, scratch_, inputs_, options.seed),
        decode_(backend, model_, storage_, attention_, scratch_, inputs_) {}

  token_engine(token_engine const&) = delete;
  token_engine& operator=(token_engine const&) = delete;

  std::unique_ptr<dialogue_type> open() {
    auto const id = visit_storage(storage_, [](auto& s) { return s.open(); });
    return std::make_unique<dialogue_type>(id, typename Config::compressor(*backend_, options_.compressor));
  }

  /// An independent copy that shares the cache until one of the two goes its own way. No turn may be under way.
  std::unique_ptr<dialogue_type> fork(dialogue_type const& d) {
    check(d.turn.phase == turn_phase::idle, "a conversation cannot be forked while it answers");
    auto const id = visit_storage(storage_, [&](auto& s) { return s.fork(d.id); });
    auto copy = std::make_unique<dialogue_type>(id, d.compressor.fork());
    copy->cached = d.cached;
    copy->reports = d.reports;
    return copy;
  }

  void close(dialogue_type& d) {
    std::erase(active_, &d);
    visit_storage(storage_, [&](auto& s) { s.release(d.id); });
  }

  /// Forgets the keys and values of all tokens from `tokens` on.
  void truncate(dialogue_type& d, int tokens) {
    check(d.turn.phase == turn_phase::idle, "a conversation cannot be shortened while it answers");
    cut(d, tokens);
  }

  /// Begins a turn whose whole rendered conversation is `tokens`: what the cache holds of it is used, the rest will be computed. Nothing is computed yet; where the
  /// turn cannot be carried out (no token, a token that the model lacks, longer than the context, not enough memory) it throws and nothing has changed.
  void start(dialogue_type& d, std::vector<token_id> tokens, turn_request const& request) {
    check(d.turn.phase == turn_phase::idle, "a conversation answers one turn at a time");
    int const input = static_cast<int>(tokens.size());
    int const room = admit(tokens, request);
    reserve(d, input + room);

    auto turn = turn_progress<backend_type>{};
    turn.first = std::min(common_prefix(d.cached, tokens), input - 1);
    turn.report.turn = static_cast<int>(d.reports.size());
    turn.report.tokens_in = input;
    turn.report.reused = turn.first;
    turn.report.recomputed = static_cast<int>(d.cached.size()) - turn.first;
    if (turn.report.recomputed > 0) {
      turn.report.recomputed_why = turn.first == input - 1 ? "the input ends inside what was cached"
                                                           : "the rendered conversation differs from the cached one at token " + std::to_string(turn.first);
    }
    turn.report.heads = model_.shape().heads;
    turn.report.coverage.resize(static_cast<std::size_t>(model_.shape().layers * model_.shape().heads));
    turn.lines = {*backend_, turn.report.coverage.size()};
    turn.kept_share = {*backend_, 1};
    turn.answer_limit = room;
    turn.at_limit = room < request.max_tokens ? finish_reason::context_full : finish_reason::max_tokens;
    turn.input = input;
    turn.tokens = std::move(tokens);
    turn.tail.resize(static_cast<std::size_t>(model_.shape().layers));
    turn.pick.emplace(request.sampling);
    if (turn.pick->penalises()) { turn.seen = {*backend_, model_.shape().vocabulary, turn.tokens}; }
    turn.phase = turn_phase::prefill;
    if (turn.report.recomputed > 0) {
      cut(d, turn.first);
      reserve(d, input + room);  // cannot fail: what was cut makes room
    }
    d.turn = std::move(turn);
    d.failure = nullptr;
    d.cancelled.store(false);
    active_.push_back(&d);
  }

  bool busy() const { return !active_.empty(); }

  /// Runs what the scheduler chooses, and tells what came of it in the order it came.
  std::vector<turn_event<Config>> step() {
    for (auto* d : std::vector(active_)) {
      if (d->cancelled.load(std::memory_order_relaxed)) { end(*d, finish_reason::cancelled); }
    }
    if (active_.empty()) { return std::exchange(events_, {}); }
    auto const plan = scheduler_.plan(statuses());
    check(!plan.prefill.empty() || !plan.decode.empty(), "the scheduler named no turn although some wait");
    for (auto id : plan.prefill) { prefill(named(id)); }
    std::vector<dialogue_type*> batch;
    for (auto id : plan.decode) {
      batch.push_back(&named(id));
      if (static_cast<int>(batch.size()) == decode_rows) { decode(std::exchange(batch, {})); }
    }
    if (!batch.empty()) { decode(std::move(batch)); }
    return std::exchange(events_, {});
  }

  /// Ends a turn between steps; what was generated stays in the cache.
  void finish(dialogue_type& d, finish_reason reason) {
    auto& report = d.turn.report;
    report.finish = reason;
    report.tokens_out = d.turn.answered();
    for (auto& layer : d.turn.layers) { report.working_set_bytes += layer.rows.bytes() + layer.next_rows.bytes(); }
    read_tallies(d);
    report.kv_bytes = visit_storage(storage_, [&](auto& s) {
      s.truncate(d.id, static_cast<int>(d.cached.size()));  // room that the answer did not need
      return s.bytes(d.id);
    });
    d.reports.push_back(report);
    d.turn.phase = turn_phase::idle;
    d.turn.layers.clear();
    d.turn.tail.clear();
    d.turn.lines = {};
    d.turn.kept_share = {};
    d.turn.seen = {};
    std::erase(active_, &d);
  }

  typename Config::model const& network() const { return model_; }
  typename Config::model& network() { return model_; }
  int context_limit() const { return options_.context_tokens > 0 ? options_.context_tokens : model_.shape().max_context; }

  /// What a device replayed of the steps in which answers grew; zeros on the host.
  step_counts replayed() const { return decode_.counts(); }

  /// Bytes of keys and values held for all conversations.
  index_t cache_bytes() const {
    return visit_storage(storage_, [](auto const& s) { return s.bytes(); });
  }

 private:
  static int common_prefix(std::vector<token_id> const& a, std::vector<token_id> const& b) {
    return static_cast<int>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  }

  /// How many tokens the answer may have; throws where the turn cannot begin.
  int admit(std::vector<token_id> const& tokens, turn_request const& request) const {
    if (tokens.empty()) { throw error("the input gives no token, so there is nothing to answer"); }
    if (request.max_tokens < 1) { throw error("an answer needs room for at least 1 token, max_tokens is " + std::to_string(request.max_tokens)); }
    for (auto t : tokens) {
      if (raw(t) < 0 || raw(t) >= model_.shape().vocabulary) {
        throw error("token " + std::to_string(raw(t)) + " of the input is outside the model's vocabulary of " + std::to_string(model_.shape().vocabulary) +
                    ": do tokenizer and model belong together?");
      }
    }
    index_t const room = context_limit() - static_cast<index_t>(tokens.size());
    if (room < 1) {
      throw capacity_error("the conversation has " + std::to_string(tokens.size()) + " tokens, which leaves no room for an answer in a context of " +
                           std::to_string(context_limit()));
    }
    return static_cast<int>(std::min<index_t>(room, request.max_tokens));
  }

  std::vector<turn_status> statuses() const {
    std::vector<turn_status> list;
    for (auto const* d : active_) {
      bool const decoding = d->turn.phase == turn_phase::decode;
      list.push_back({d->id, decoding, decoding ? 0 : next_chunk(*d)});
    }
    return list;
  }

  int next_chunk(dialogue_type const& d) const { return std::min(options_.chunk_tokens, d.turn.input - static_cast<int>(d.cached.size())); }

  dialogue_type& named(sequence_id id) const {
    auto const found = std::find_if(active_.begin(), active_.end(), [&](auto const* d) { return d->id == id; });
    check(found != active_.end(), "the scheduler named a turn that is not under way");
    return **found;
  }

  void prefill(dialogue_type& d) {
    int const before = static_cast<int>(d.cached.size());
    try {
      prefill_.run(d, next_chunk(d), logits_.rows(1), [&] { choose({&d}); });
      if (static_cast<int>(d.cached.size()) < d.turn.input) { return; }
      d.turn.phase = turn_phase::decode;
      for (int l = 0; l < model_.shape().layers; ++l) { d.turn.layers.emplace_back(*backend_); }
      take(d, choice_.tokens()[0]);
    } catch (detail::cancelled_turn const&) {
      cut(d, before);
      end(d, finish_reason::cancelled);
    } catch (...) {
      cut(d, before);
      fail(d);
    }
  }

  void decode(std::vector<dialogue_type*> batch) {
    std::vector<row_best> chosen;
    try {
      decode_.run(batch, logits_.rows(static_cast<int>(batch.size())), [&] { choose(batch); });
      chosen = choice_.tokens();
    } catch (...) {
      for (auto* d : batch) {
        cut(*d, static_cast<int>(d->cached.size()));
        fail(*d);
      }
      return;
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      try {
        take(*batch[i], chosen[i]);
      } catch (...) { fail(*batch[i]); }
    }
  }

  /// Queues the choice of the next tokens of answers whose rows of logits are the batch's.
  void choose(std::vector<dialogue_type*> const& batch) {
    std::vector<penalised_row> penalised;
    std::vector<token_draw> draws;
    for (auto* d : batch) {
      auto& turn = d->turn;
      if (turn.pick->penalises()) { penalised.push_back(turn.seen.row(static_cast<int>(draws.size()), turn.pick->penalties(), turn.tokens)); }
      draws.push_back(turn.pick->draw());
    }
    choice_.queue(*backend_, logits_.rows(static_cast<int>(draws.size())), penalised, draws);
  }

  void take(dialogue_type& d, row_best const& chosen) {
    auto const token = d.turn.pick->choose(chosen);
    if (std::find(stop_tokens_.begin(), stop_tokens_.end(), token) != stop_tokens_.end()) { return end(d, finish_reason::stop_token); }
    d.turn.tokens.push_back(token);
    events_.push_back({&d, false, token});
    if (d.turn.answered() == d.turn.answer_limit) { end(d, d.turn.at_limit); }
  }

  void fail(dialogue_type& d) {
    d.failure = std::current_exception();
    end(d, finish_reason::failed);
  }

  void end(dialogue_type& d, finish_reason reason) {
    finish(d, reason);
    events_.push_back({&d, true, {}});
  }

  void reserve(dialogue_type& d, int tokens) {
    visit_storage(storage_, [&](auto& s) { s.reserve(d.id, tokens); });
  }

  /// Keeps the first `tokens` tokens of the cache in every layer, and of what was derived from them.
  void cut(dialogue_type& d, int tokens) {
    visit_storage(storage_, [&](auto& s) { s.truncate(d.id, tokens); });
    d.compressor.truncate(tokens);
    d.cached.resize(static_cast<std::size_t>(tokens));
  }

  /// Adds to a turn's report what was counted in the backend's memory. A device that no longer answers makes the turn fail: this may be an answer's destructor.
  static void read_tallies(dialogue_type& d) {
    auto& report = d.turn.report;
    try {
      auto const lines = d.turn.lines.read();
      for (std::size_t i = 0; i < lines.size(); ++i) {
        report.coverage[i].cells += lines[i].cells;
        report.coverage[i].covered += lines[i].covered;
      }
      for (double const share : d.turn.kept_share.read()) { report.kept_share_sum += share; }
    } catch (...) { d.failure = std::current_exception(); }
  }

  backend_type* backend_;
  engine_options<Config> options_;
  typename Config::model model_;
  typename Config::storage storage_;
  typename Config::selector selector_;
  typename Config::attention attention_;
  typename Config::scheduler scheduler_;
  std::vector<token_id> stop_tokens_;
  activations<backend_type> scratch_;
  step_inputs<backend_type> inputs_;
  logits_rows<backend_type> logits_;
  token_choice<backend_type> choice_;
  prefill_step<Config> prefill_;
  decode_step<Config> decode_;
  std::vector<dialogue_type*> active_;
  std::vector<turn_event<Config>> events_;
};

}  // namespace loopserve
