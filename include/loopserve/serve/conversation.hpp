// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/sampling/stop_strings.hpp>
#include <loopserve/model/text/text_piece.hpp>
#include <loopserve/model/text/text_stream.hpp>
#include <loopserve/serve/dialogue.hpp>
#include <loopserve/serve/engine_options.hpp>

namespace loopserve {

template <class Config>
class engine;

/// A conversation as text, and the answer under way.
template <class Config>
struct conversation_state {
  std::unique_ptr<dialogue<Config>> tokens;
  conversation_options options;
  std::vector<chat_message> messages;
  std::vector<int> cached_after;        ///< tokens in the cache when each turn ended
  std::vector<std::size_t> messages_after;
  std::vector<token_id> spoken;         ///< raw mode: everything so far, in the cache or not; each turn only adds to it
  std::vector<std::size_t> spoken_after;

  bool answering = false;
  int dropped_turns = 0;                ///< of the turn under way
  std::vector<token_id> answer;
  std::string text;                     ///< of the answer, as handed out
  std::optional<text_stream> stream;
  std::optional<stop_strings> stops;
  std::deque<std::string> pieces;       ///< ready to be read
};

/// The text of one answer, piece by piece as it is generated: a single-pass range. Reading it drives the engine, so other conversations of the same engine advance
/// as well. Destroying it before its end cancels the rest.
template <class Config>
class answer {
 public:
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = std::string;
    using difference_type = std::ptrdiff_t;

    explicit iterator(answer* from) : from_(from) {}
    std::string const& operator*() const { return from_->piece_; }
    iterator& operator++() {
      from_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return from_->ended_; }

   private:
    answer* from_;
  };

  answer(engine<Config>& owner, std::shared_ptr<conversation_state<Config>> state) : owner_(&owner), state_(std::move(state)) {}
  answer(answer&& other) noexcept : owner_(other.owner_), state_(std::move(other.state_)), piece_(std::move(other.piece_)), ended_(other.ended_) {}
  answer& operator=(answer&&) = delete;
  ~answer() {
    if (state_ && state_->answering) { owner_->abandon(*state_); }
  }

  iterator begin() {
    advance();
    return iterator(this);
  }
  std::default_sentinel_t end() const { return {}; }

  /// Reads to the end: the whole answer. Throws what made the turn fail.
  std::string const& text() {
    while (!ended_) { advance(); }
    return state_->text;
  }

  /// Reads to the end: what the turn took. Throws what made the turn fail.
  turn_report report() {
    text();
    return state_->tokens->reports.back();
  }

 private:
  void advance() { ended_ = !owner_->next_piece(*state_, piece_); }

  engine<Config>* owner_;
  std::shared_ptr<conversation_state<Config>> state_;
  std::string piece_;
  bool ended_ = false;
};

/// Input tokens that were computed, of those that the cache lacked.
struct input_progress {
  int done = 0;
  int total = 0;
};

/// A handle to one conversation of an engine, which must outlive it. All but `cancel` are for the thread that drives the engine.
template <class Config>
class conversation {
 public:
  conversation(engine<Config>& owner, std::shared_ptr<conversation_state<Config>> state) : owner_(&owner), state_(std::move(state)) {}
  conversation(conversation&&) noexcept = default;
  conversation& operator=(conversation&& other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(state_, other.state_);
    return *this;
  }
  ~conversation() {
    if (state_) { owner_->close(*state_); }
  }

  /// Begins a turn. Throws where it cannot begin (it is then as if nothing had been said): no token, longer than the context, not enough memory.
  [[nodiscard]] answer<Config> say(std::string_view input) {
    owner_->begin(*state_, input);
    return answer<Config>(*owner_, state_);
  }

  /// Ends the answer under way, from any thread, also while its input is read (within one layer of one chunk). What was generated is kept; a turn that was
  /// cancelled before its first token leaves no trace but its report.
  void cancel() { state_->tokens->cancelled.store(true); }

  /// Back to where the conversation was after its first `turns` turns.
  void rewind(int turns) { owner_->rewind(*state_, turns); }

  /// An independent conversation with the same past; the cache is shared until one of them goes on.
  [[nodiscard]] conversation fork() const { return conversation(*owner_, owner_->fork(*state_)); }

  /// How far reading the input under way has come. Both are 0 unless it is being read.
  input_progress reading() const {
    auto const& turn = state_->tokens->turn;
    if (turn.phase != turn_phase::prefill) { return {}; }
    return {static_cast<int>(state_->tokens->cached.size()) - turn.first, turn.input - turn.first};
  }

  /// One for each finished turn.
  std::span<turn_report const> reports() const { return state_->tokens->reports; }

  /// What was said so far, both sides.
  std::span<chat_message const> messages() const { return state_->messages; }

  /// The tokens of the last answer as they were generated, without the stop token.
  std::span<token_id const> last_answer() const { return state_->answer; }

 private:
  engine<Config>* owner_;
  std::shared_ptr<conversation_state<Config>> state_;
};

}  // namespace loopserve
