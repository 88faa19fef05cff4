// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <utility>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/ops/penalties.hpp>
#include <loopserve/ops/sampling.hpp>

namespace loopserve {

/// The choice of a step's tokens where the logits lie: queued with the step, so that the host waits once for both.
template <class Backend>
class token_choice {
 public:
  /// For up to `rows` rows.
  token_choice(Backend&, int) {}

  /// Chooses from logits (draws.size(), vocabulary), once those of `penalised` rows are.
  void queue(Backend& backend, tensor_view<float, 2> logits, std::span<penalised_row const> penalised, std::span<token_draw const> draws) {
    penalise_logits(backend, logits, penalised);
    chosen_ = sample_tokens(backend, tensor_view<float const, 2>(logits), draws);
  }

  /// A token a row, after the wait for the step.
  std::vector<row_best> const& tokens() const { return chosen_; }

 private:
  std::vector<row_best> chosen_;
};

template <class Backend>
  requires(Backend::space == memory_space::device)
class token_choice<Backend> {
 public:
  token_choice(Backend& backend, int rows)
      : found_(backend.template make_buffer<unsigned long long>(2 * rows)), brought_(backend.template make_pinned<unsigned long long>(2 * rows)) {}

  void queue(Backend& backend, tensor_view<float, 2> logits, std::span<penalised_row const> penalised, std::span<token_draw const> draws) {
    draws_.assign(draws.begin(), draws.end());
    penalise_logits(backend, logits, penalised);
    find_tokens(backend, tensor_view<float const, 2>(logits), draws, found_.data());
    backend.copy_to_pinned(brought_.data(), found_.data(), 2 * static_cast<index_t>(draws.size() * sizeof(unsigned long long)));
  }

  std::vector<row_best> tokens() const { return drawn_tokens(brought_.data(), std::span<token_draw const>(draws_)); }

 private:
  std::vector<token_draw> draws_;
  typename Backend::template buffer<unsigned long long> found_;
  decltype(std::declval<Backend const&>().template make_pinned<unsigned long long>(0)) brought_;
};

}  // namespace loopserve
