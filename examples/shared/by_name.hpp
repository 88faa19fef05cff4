// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/kv/any_compressor.hpp>
#include <loopserve/kv/any_storage.hpp>
#include <loopserve/prefill/any_selector.hpp>
#include <loopserve/serve/defaults.hpp>
#include <loopserve/serve/engine_options.hpp>

namespace programs {

/// The default parts, with selector, KV policy and the type of keys and values chosen by name at run time: one engine serves all choices.
template <class Backend>
struct by_name : loopserve::defaults<Backend> {
  using storage = loopserve::any_storage<Backend>;
  using selector = loopserve::any_selector<Backend>;
  using compressor = loopserve::any_compressor<Backend>;
};

/// Throws error, with the names there are, for a selector or KV policy that does not exist: before a model is read.
template <class Config>
void check_names(loopserve::engine_options<Config> const& o) {
  typename Config::backend backend(1);
  typename Config::selector{backend, o.selector};
  typename Config::compressor{backend, o.compressor};
}

}  // namespace programs
