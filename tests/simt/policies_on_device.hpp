// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The laws of KV policies in a device's memory: what they keep, gather, recall and sketch is read back for the host.

#include "device_test.hpp"

#include <loopserve/attention/decode.cuh>
#include <loopserve/kv/any_compressor.hpp>
#include <loopserve/kv/sink_window.cuh>
#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/gather.cuh>
#include <loopserve/ops/key_mass.cuh>
#include <loopserve/ops/key_sketch.cuh>
#include <loopserve/ops/top_k.cuh>
#include <loopserve/testing/policy_laws.hpp>

namespace loopserve::device_test {

#if LOOPSERVE_CUDA_COMPILER
using device = cuda;
inline testing::policy_extent const extent;
#else
using device = emulated;
/// With a choice each 4 tokens: two choices an answer.
inline testing::policy_extent const extent{.contexts = {3, 65, 200}, .cuts = {100}, .lengths = {210}, .tokens = 10, .patience = 8};
#endif

template <class Policy, class Element>
void keeps_the_laws(typename Policy::options const& o) {
  each_device(
      [&](auto const& made) {
        device b = made;
        CHECK_NOTHROW((testing::policy_laws<Policy, Element>(b, o, extent)));
      },
      1);
}

}  // namespace loopserve::device_test
