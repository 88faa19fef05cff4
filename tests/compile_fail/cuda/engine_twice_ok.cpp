// SPDX-License-Identifier: Apache-2.0
#include <loopserve/loopserve.cuh>

extern template class loopserve::engine<loopserve::defaults<loopserve::cuda>>;
