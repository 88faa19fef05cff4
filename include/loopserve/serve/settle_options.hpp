// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <type_traits>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/element.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/serve/engine_options.hpp>
#include <loopserve/serve/memory_plan.hpp>

namespace loopserve {

/// The type of keys and values where none is asked for: float32 on the reference backend and for float32 weights, else the weights' own 16-bit type (f16 for q8_0).
template <class Backend>
constexpr element_type default_kv_type(element_type weights) {
  if (std::is_same_v<Backend, reference>) { return element_type::f32; }
  return weights == element_type::q8_0 ? element_type::f16 : weights;
}

/// Fills in what the options leave to the model: the type of keys and values, the longest context, and the storage's share of a memory limit.
/// Throws capacity_error where the limit leaves no room for any conversation.
template <class Config>
engine_options<Config> settle_options(engine_options<Config> options, model_shape const& shape, element_type weights, index_t weights_bytes) {
  if constexpr (requires { options.storage.type; }) {
    options.storage.type = options.kv_type.value_or(default_kv_type<typename Config::backend>(weights));
  } else if (options.kv_type) {
    check(*options.kv_type == element_type_of<typename Config::storage::element_type>, "kv_type differs from the element type of the configuration's storage");
  }
  check(options.chunk_tokens > 0, "chunk_tokens must be positive");
  check(options.context_tokens >= 0, "context_tokens must not be negative");
  if (options.context_tokens == 0) { options.context_tokens = shape.max_context; }
  if (options.memory_bytes == 0) { return options; }
  auto const plan = plan_memory<Config>(shape, weights_bytes, options, options.context_tokens);
  if (plan.longest_context < 2) {
    throw capacity_error("a memory limit of " + std::to_string(options.memory_bytes) + " bytes is too small: weights and scratch alone take " +
                         std::to_string(plan.weights_bytes + plan.scratch_bytes));
  }
  options.context_tokens = plan.longest_context;
  auto const longest = plan_memory<Config>(shape, weights_bytes, options, plan.longest_context);
  if constexpr (requires { options.storage.pages.max_bytes; }) {
    options.storage.pages.max_bytes = options.memory_bytes - (longest.total_bytes() - longest.cache_bytes);
  } else if constexpr (requires { options.storage.max_bytes; }) {
    options.storage.max_bytes = options.memory_bytes - (longest.total_bytes() - longest.cache_bytes);
  }
  return options;
}

}  // namespace loopserve
