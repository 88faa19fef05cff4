// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/ops/copy.hpp>
#include <loopserve/ops/penalties.hpp>
#include <loopserve/serve/tally.hpp>

namespace loopserve {

/// How often each token stands in a conversation, in the backend's memory: penalties never read the conversation again.
template <class Backend>
class seen_tokens {
 public:
  seen_tokens() = default;
  seen_tokens(Backend& backend, int vocabulary, std::span<token_id const> tokens)
      : counts_(backend, static_cast<std::size_t>(vocabulary)), vocabulary_(vocabulary), counted_(tokens.size()) {
    if constexpr (Backend::space == memory_space::device) {
      auto there = backend.template make_buffer<token_id>(static_cast<index_t>(tokens.size()));
      upload(backend, tokens.data(), there.size(), there.data());
      count(backend, {there.data(), tokens.size()});
    } else {
      count(backend, tokens);
    }
  }

  /// Row `i` of a step, for the conversation as it is now: at most one token longer than at the last call.
  penalised_row row(int i, token_penalties const& by, std::span<token_id const> tokens) {
    check(tokens.size() == counted_ || tokens.size() == counted_ + 1, "tokens are counted one by one");
    penalised_row const row{i, tokens.size() > counted_ ? tokens.back() : token_id{-1}, by, counts_.data()};
    counted_ = tokens.size();
    return row;
  }

 private:
  void count(Backend& backend, std::span<token_id const> tokens) {
    count_tokens(backend, tokens, std::span<int>(counts_.data(), static_cast<std::size_t>(vocabulary_)));
  }

  tally<Backend, int> counts_;
  int vocabulary_ = 0;
  std::size_t counted_ = 0;
};

}  // namespace loopserve
