// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

#include <loopserve/attention/attention_backend.hpp>
#include <loopserve/core/backend.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/model/model.hpp>
#include <loopserve/prefill/prefill_selector.hpp>
#include <loopserve/serve/scheduler.hpp>

namespace loopserve {

/// The types an engine is made of. Derive from `defaults<Backend>` and name the ones that differ. One failing part is named in the error.
template <class C>
concept engine_config = backend<typename C::backend> && model<typename C::model> && prefill_selector<typename C::selector> &&
                        kv_policy<typename C::compressor> && attention_backend<typename C::attention> && scheduler<typename C::scheduler> && requires {
                          typename C::storage;
                          typename C::storage::options;
                        };

}  // namespace loopserve
