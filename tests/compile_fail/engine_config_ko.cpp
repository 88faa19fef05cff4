// SPDX-License-Identifier: Apache-2.0
// expect: kv_policy
// A selector in the place of a KV policy: the failing part is named.
#include <loopserve/serve/defaults.hpp>
#include <loopserve/serve/engine_config.hpp>
#include <loopserve/kv/keep_all.hpp>
#include <loopserve/prefill/a_shape.hpp>

namespace ls = loopserve;

struct my : ls::defaults<ls::reference> {
  using compressor = ls::a_shape<backend>;
};

template <ls::engine_config C>
void use();
void f() { use<my>(); }
