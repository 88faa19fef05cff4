// SPDX-License-Identifier: Apache-2.0
#include <loopserve/loopserve.cuh>

template class loopserve::engine<loopserve::defaults<loopserve::cuda>>;
