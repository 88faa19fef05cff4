// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <loopserve/core/element.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/model/sampling/sampler.hpp>
#include <loopserve/model/text/chat_template.hpp>

namespace loopserve {

/// What happens when a conversation and its answer no longer fit the context: an error before any work, or the oldest turns (never the system message
/// nor the newest input) are left out, which the turn's report counts.
enum class overflow_policy : std::uint8_t { refuse, drop_oldest_turns };

/// The numbers of an engine; the components' own options are direct members, by the names of the configuration's types.
template <class Config>
struct engine_options {
  typename Config::selector::options selector = {};
  typename Config::compressor::options compressor = {};
  typename Config::attention::options attention = {};
  typename Config::storage::options storage = {};
  typename Config::scheduler::options scheduler = {};

  int threads = 0;                             ///< 0: all that the machine has; results do not depend on it
  int device = 0;                              ///< on `cuda`: the number of the GPU
  int chunk_tokens = 2048;                     ///< prefill is cut here, counted from the turn's first new token
  int context_tokens = 0;                      ///< longest conversation, answer included; 0: what the model was made for
  index_t memory_bytes = 0;                    ///< for weights, caches, working sets and scratch together; 0: no limit
  std::optional<element_type> kv_type = {};    ///< for storages that can choose (any_storage); unset: f16, on `reference` f32
  overflow_policy overflow = overflow_policy::refuse;
  std::uint64_t seed = 0;                      ///< of the rows that selectors sample
  bool check_weights = true;                   ///< look for NaN and infinity while loading, and name the tensor
  chat_template::callback render = {};         ///< replaces the folder's chat template
};

/// What a conversation asks for, turn after turn.
struct conversation_options {
  std::string system = {};
  int max_tokens = 512;             ///< of an answer
  sampling_options sampling = {};
  std::vector<std::string> stop = {};
  bool raw = false;                 ///< no chat template: inputs and answers follow each other as text
};

}  // namespace loopserve
