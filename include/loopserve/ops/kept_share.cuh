// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/kept_share.hpp>
#include <loopserve/ops/kept_share_kernel.hpp>

namespace loopserve {

/// The reference's add_kept_share.
template <device_backend B>
void add_kept_share(B const& b, kept_rows_view lists, int context, double* sum) {
  b.launch({}, kept_share_kernel{lists, context, sum});
}

}  // namespace loopserve
