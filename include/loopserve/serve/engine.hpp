// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/load_weights.hpp>
#include <loopserve/model/planned_weights.hpp>
#include <loopserve/serve/conversation.hpp>
#include <loopserve/serve/loaded_text.hpp>
#include <loopserve/serve/make_backend.hpp>
#include <loopserve/serve/memory_plan.hpp>
#include <loopserve/serve/settle_options.hpp>
#include <loopserve/serve/token_engine.hpp>

namespace loopserve {

/// Whether loopserve::compiled or loopserve::compiled_cuda holds the engine, and this file is compiled for a program that links it.
template <class Config>
inline constexpr bool in_compiled = false;

/// A model and the conversations held with it. `Config` chooses the parts by name (see `defaults`), `engine_options` their numbers.
/// One thread drives an engine; conversations may be cancelled from others.
template <class Config>
class engine {
  static_assert(engine_config<Config>);

 public:
  using state_type = conversation_state<Config>;
  using options_type = engine_options<Config>;

  /// Opens a Hugging Face folder or a GGUF file. Throws format_error where a file is not what it claims to be, capacity_error where the
  /// memory limit is too small for the weights.
  explicit engine(std::filesystem::path const& path, options_type options = {});

  explicit engine(std::shared_ptr<model_files const> files, options_type options = {});
  ~engine();
  engine(engine const&) = delete;
  engine& operator=(engine const&) = delete;

  conversation<Config> open(conversation_options options = {});

  /// Advances every conversation that has a turn under way. Returns whether any still has.
  bool step();

  /// Bytes for one conversation of `context_tokens` tokens (0: as long as the model allows), and the longest that fits `memory_bytes`.
  memory_plan plan(int context_tokens = 0) const;

  model_shape const& shape() const { return tokens_.network().shape(); }
  tokenizer const& text() const { return text_.words; }
  options_type const& options() const { return options_; }
  int context_limit() const { return tokens_.context_limit(); }
  index_t cache_bytes() const { return tokens_.cache_bytes(); }

  /// On a device: what it replayed of the steps in which answers grew, instead of queuing it anew.
  step_counts replayed() const { return tokens_.replayed(); }

  /// What became of the weights when they were loaded: on a device, which of them were converted.
  weights_report const& loaded() const { return tokens_.network().report(); }

 private:
  friend class answer<Config>;
  friend class conversation<Config>;

  static cache_shape cache_shape_of(model_shape const& shape) { return {shape.layers, shape.kv_heads, shape.head_dim}; }

  void begin(state_type& state, std::string_view input);

  /// The whole conversation as tokens; leaves out the oldest turns where the options ask for that.
  std::vector<token_id> rendered(state_type& state, std::string_view input) {
    if (state.options.raw) {
      auto tokens = state.spoken.empty() ? text_.words.initial_tokens() : state.spoken;
      auto const fresh = text_.words.encode(input);
      if (fresh.empty()) { throw error("the input gives no token, so there is nothing to answer"); }
      tokens.insert(tokens.end(), fresh.begin(), fresh.end());
      return tokens;
    }
    auto messages = state.messages;
    auto tokens = text_.encode(messages);
    while (options_.overflow == overflow_policy::drop_oldest_turns && static_cast<int>(tokens.size()) + state.options.max_tokens > tokens_.context_limit() &&
           drop_oldest_turn(messages)) {
      ++state.dropped_turns;
      tokens = text_.encode(messages);
    }
    return tokens;
  }

  /// Takes out the first user message and all up to the next one; false where only the newest is left.
  static bool drop_oldest_turn(std::vector<chat_message>& messages) {
    auto const is_user = [](chat_message const& m) { return m.role == "user"; };
    auto const first = std::find_if(messages.begin(), messages.end(), is_user);
    if (first == messages.end()) { return false; }
    auto const next = std::find_if(first + 1, messages.end(), is_user);
    if (next == messages.end()) { return false; }
    messages.erase(first, next);
    return true;
  }

  bool next_piece(state_type& state, std::string& piece);

  void deliver(turn_event<Config> const& event) {
    auto& state = *states_.at(event.who);
    if (!state.answering) { return; }
    if (event.finished) { return complete(state); }
    state.answer.push_back(event.token);
    hand_out(state, state.stops->push(state.stream->push(event.token)));
    if (!state.stops->stopped()) { return; }
    if (event.who->turn.phase == turn_phase::idle) {
      event.who->reports.back().finish = finish_reason::stop_string;
    } else {
      tokens_.finish(*event.who, finish_reason::stop_string);
    }
    complete(state);
  }

  static void hand_out(state_type& state, std::string piece) {
    if (piece.empty()) { return; }
    state.text += piece;
    state.pieces.push_back(std::move(piece));
  }

  void complete(state_type& state) {
    auto& tokens = *state.tokens;
    if (!state.stops->stopped()) {
      hand_out(state, state.stops->push(state.stream->flush()));
      hand_out(state, state.stops->flush());
    }
    bool const said_nothing = state.answer.empty() && tokens.reports.back().finish != finish_reason::stop_token;
    if (said_nothing || tokens.failure) {
      state.messages.pop_back();
    } else {
      state.messages.push_back({"assistant", state.text, state.answer});
      state.spoken = tokens.turn.tokens;
    }
    state.cached_after.push_back(static_cast<int>(tokens.cached.size()));
    state.messages_after.push_back(state.messages.size());
    state.spoken_after.push_back(state.spoken.size());
    state.answering = false;
  }

  void abandon(state_type& state);

  void close(state_type& state);

  void rewind(state_type& state, int turns);

  std::shared_ptr<state_type> fork(state_type const& from);

  // Never called: only `template class engine<..>`, which compiles every member, comes here.
  void compiled_twice() {
    static_assert(!in_compiled<Config>,
                  "this engine is part of loopserve::compiled or loopserve::compiled_cuda, which the program links: leave out its explicit instantiation");
  }

  typename Config::backend backend_;
  loaded_text text_;
  index_t weights_bytes_;
  options_type options_;
  token_engine<Config> tokens_;
  std::map<dialogue<Config>*, state_type*> states_;
};

// What a program calls, directly or through a conversation, stands outside of the class: then it is not inline, and a program for which `compiled.hpp` declares it
// does not compile it again, nor anything below.

template <class Config>
engine<Config>::engine(std::filesystem::path const& path, options_type options) : engine(model_files::open(path.string()), std::move(options)) {}

template <class Config>
engine<Config>::engine(std::shared_ptr<model_files const> files, options_type options)
    : backend_(make_backend<typename Config::backend>(options)),
      text_(load_text(*files, options.render)),
      weights_bytes_(planned_weight_bytes<typename Config::backend>(*files)),
      options_(settle_options(std::move(options), files->shape(), weights_bytes_)),
      tokens_(backend_, typename Config::model(backend_, load_weights(*files, options_.check_weights)), cache_shape_of(files->shape()), options_,
              text_.stop_tokens) {}

template <class Config>
engine<Config>::~engine() = default;

template <class Config>
conversation<Config> engine<Config>::open(conversation_options options) {
  auto state = std::make_shared<state_type>();
  state->tokens = tokens_.open();
  if (!options.system.empty()) { state->messages.push_back({"system", options.system}); }
  state->options = std::move(options);
  states_[state->tokens.get()] = state.get();
  return conversation<Config>(*this, std::move(state));
}

template <class Config>
bool engine<Config>::step() {
  for (auto const& event : tokens_.step()) { deliver(event); }
  return tokens_.busy();
}

template <class Config>
memory_plan engine<Config>::plan(int context_tokens) const {
  return plan_memory<Config>(tokens_.network().shape(), weights_bytes_, options_, context_tokens > 0 ? context_tokens : tokens_.context_limit());
}

template <class Config>
void engine<Config>::begin(state_type& state, std::string_view input) {
  check(!state.answering, "a conversation answers one turn at a time");
  auto const messages_before = state.messages.size();
  state.dropped_turns = 0;
  try {
    state.messages.push_back({"user", std::string(input)});
    tokens_.start(*state.tokens, rendered(state, input), {state.options.max_tokens, state.options.sampling});
  } catch (...) {
    state.messages.resize(messages_before);
    throw;
  }
  auto& report = state.tokens->turn.report;
  report.dropped_turns = state.dropped_turns;
  if (state.dropped_turns > 0 && report.recomputed > 0) {
    report.recomputed_why = (state.dropped_turns == 1 ? std::string("the oldest turn was") : "the " + std::to_string(state.dropped_turns) + " oldest turns were") +
                            " left out because the context was full";
  }
  state.answering = true;
  state.answer.clear();
  state.text.clear();
  state.pieces.clear();
  state.stream.emplace(text_.words);
  state.stops.emplace(state.options.stop);
}

template <class Config>
bool engine<Config>::next_piece(state_type& state, std::string& piece) {
  while (state.pieces.empty() && state.answering) { step(); }
  if (!state.pieces.empty()) {
    piece = std::move(state.pieces.front());
    state.pieces.pop_front();
    return true;
  }
  if (state.tokens->failure) { std::rethrow_exception(state.tokens->failure); }
  return false;
}

template <class Config>
void engine<Config>::abandon(state_type& state) {
  tokens_.finish(*state.tokens, finish_reason::cancelled);
  complete(state);
}

template <class Config>
void engine<Config>::close(state_type& state) {
  if (state.answering) { abandon(state); }
  states_.erase(state.tokens.get());
  tokens_.close(*state.tokens);
}

template <class Config>
void engine<Config>::rewind(state_type& state, int turns) {
  check(!state.answering, "a conversation cannot be rewound while it answers");
  int const held = static_cast<int>(state.cached_after.size());
  if (turns < 0 || turns > held) {
    throw error("cannot rewind to turn " + std::to_string(turns) + ": the conversation has " + std::to_string(held) + " turns");
  }
  auto const kept = static_cast<std::size_t>(turns);
  bool const has_system = !state.options.system.empty();
  // A later turn that left out the oldest ones may have cached less than the turn that is gone back to.
  tokens_.truncate(*state.tokens, turns == 0 ? 0 : std::min(state.cached_after[kept - 1], static_cast<int>(state.tokens->cached.size())));
  state.messages.resize(turns == 0 ? (has_system ? 1 : 0) : state.messages_after[kept - 1]);
  // Not the cache's length: the last token of an answer was said before it had keys and values.
  state.spoken.resize(turns == 0 ? 0 : state.spoken_after[kept - 1]);
  state.cached_after.resize(kept);
  state.messages_after.resize(kept);
  state.spoken_after.resize(kept);
  state.tokens->reports.resize(kept);
}

template <class Config>
auto engine<Config>::fork(state_type const& from) -> std::shared_ptr<state_type> {
  check(!from.answering, "a conversation cannot be forked while it answers");
  auto copy = std::make_shared<state_type>();
  copy->tokens = tokens_.fork(*from.tokens);
  copy->options = from.options;
  copy->messages = from.messages;
  copy->cached_after = from.cached_after;
  copy->messages_after = from.messages_after;
  copy->spoken = from.spoken;
  copy->spoken_after = from.spoken_after;
  copy->answer = from.answer;
  copy->text = from.text;
  states_[copy->tokens.get()] = copy.get();
  return copy;
}

}  // namespace loopserve
