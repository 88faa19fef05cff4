// SPDX-License-Identifier: Apache-2.0
// An engine configuration with another KV policy.
#include <loopserve/serve/defaults.hpp>
#include <loopserve/serve/engine_config.hpp>
#include <loopserve/kv/keep_all.hpp>
#include <loopserve/prefill/a_shape.hpp>

namespace ls = loopserve;

struct my : ls::defaults<ls::reference> {
  using compressor = ls::keep_all<backend>;
};

template <ls::engine_config C>
void use();
void f() { use<my>(); }
