// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <loopserve/core/element.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/kv/kv_element.hpp>
#include <loopserve/serve/engine_options.hpp>
#include <loopserve/serve/memory_plan.hpp>

namespace loopserve {

namespace detail {

/// The element type goes to a storage that can choose one; another storage has its own, and is not asked for a second.
template <class Config>
void settle_kv_type(engine_options<Config>& options) {
  if constexpr (requires { options.storage.type; }) {
    options.storage.type = options.kv_type.value_or(element_type_of<kv_element<typename Config::backend>>);
  } else {
    constexpr auto own = element_type_of<typename Config::storage::element_type>;
    if (options.kv_type.value_or(own) != own) {
      throw error(std::string("kv_type: expected ") + name_of(own) + ", the element type of the configuration's storage, found " + name_of(*options.kv_type) +
                  "; with `using storage = any_storage<backend>;` the options choose it");
    }
  }
}

}  // namespace detail

/// Fills in what the options leave open: the type of keys and values, the longest context, and the storage's share of a memory limit.
/// Throws capacity_error where the limit leaves no room for any conversation.
template <class Config>
engine_options<Config> settle_options(engine_options<Config> options, model_shape const& shape, index_t weights_bytes) {
  detail::settle_kv_type<Config>(options);
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
