// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/argmax_kernel.hpp>
#include <loopserve/ops/sampling.hpp>
#include <loopserve/ops/sampling_kernel.hpp>

namespace loopserve {

namespace detail {

/// Queues what finds the drawn tokens of the rows whose largest logits `best` holds; the other rows' are left as they are.
template <device_backend B>
void draw_rows(B const& b, tensor_view<float const, 2> logits, std::span<token_draw const> draws, unsigned long long const* best, unsigned long long* drawn) {
  index_t const rows = logits.extent(0);
  grid const blocks{blocks_for(logits.extent(1), token_search::tile), static_cast<int>(rows)};
  auto there = b.template make_buffer<token_draw>(rows);
  auto weights = b.template make_buffer<unsigned long long>(rows * token_search::passes * token_search::bins);
  auto stands = b.template make_buffer<token_search::stand>(rows * (token_search::passes + 1));
  auto counts = b.template make_buffer<int>(rows * blocks.x);
  b.copy_to_device(there.data(), draws.data(), there.bytes());
  b.fill(weights.data(), 0, weights.bytes());
  token_search const search{logits, there.data(), best, weights.data(), stands.data()};
  auto const any = [&](auto asks) { return std::any_of(draws.begin(), draws.end(), [&](token_draw const& d) { return d.draws() && asks(d); }); };
  bool const asked[] = {any([](auto const& d) { return d.top_k > 0; }), any([](auto const& d) { return d.top_p < 1; }), true};
  for (int pass = 0; pass < token_search::passes; ++pass) {
    if (asked[pass / 3]) { b.launch(blocks, add_weights_kernel{search, pass}); }
  }
  b.launch(blocks, count_drawn_kernel{search, counts.data()});
  b.launch(blocks, name_drawn_kernel{search, counts.data(), drawn});
}

}  // namespace detail

/// Queues the search for the token that each row's draw gives: one launch where every row takes its largest, otherwise six to twelve. `found` (2, rows), in the device's
/// memory: the rows' largest logits, then what is drawn, for drawn_tokens to read.
template <device_backend B>
void find_tokens(B const& b, tensor_view<float const, 2> logits, std::span<token_draw const> draws, unsigned long long* found) {
  detail::check_draws(logits, draws.size());
  auto const rows = draws.size();
  b.fill(found, 0, 2 * static_cast<index_t>(rows * sizeof *found));
  using kernel = argmax_kernel<float>;
  b.launch({static_cast<int>(rows), blocks_for(logits.extent(1), kernel::tile)}, kernel{logits, found});
  bool const any = std::any_of(draws.begin(), draws.end(), [](token_draw const& d) { return d.draws(); });
  if (any) { detail::draw_rows(b, logits, draws, found, found + rows); }
}

/// What find_tokens has found, in the host's memory.
inline std::vector<row_best> drawn_tokens(unsigned long long const* found, std::span<token_draw const> draws) {
  std::vector<row_best> chosen;
  for (std::size_t r = 0; r < draws.size(); ++r) {
    row_best row{argmax_key::index(found[r]), argmax_key::value(found[r])};
    if (draws[r].draws() && std::isfinite(row.value)) { row.at = static_cast<int>(found[draws.size() + r]); }
    chosen.push_back(row);
  }
  return chosen;
}

/// The reference's sample_tokens, token by token, of logits in the device's memory. It waits once.
template <device_backend B>
std::vector<row_best> sample_tokens(B const& b, tensor_view<float const, 2> logits, std::span<token_draw const> draws) {
  std::vector<unsigned long long> found(2 * draws.size());
  auto there = b.template make_buffer<unsigned long long>(static_cast<index_t>(found.size()));
  find_tokens(b, logits, draws, there.data());
  b.copy_to_host(found.data(), there.data(), there.bytes());
  return drawn_tokens(found.data(), draws);
}

}  // namespace loopserve
