// SPDX-License-Identifier: Apache-2.0
#pragma once

/// All that the cpu backend overrides of attention: whoever uses attention on `cpu` includes this, so that no two translation units disagree.
#include <loopserve/attention/cpu/decode.hpp>
#include <loopserve/attention/cpu/dense.hpp>
#include <loopserve/attention/cpu/line_sparse.hpp>

namespace loopserve::detail {

/// That it is complete tells require_attention_overrides that they are there.
struct cpu_attention_overrides {};

}  // namespace loopserve::detail
