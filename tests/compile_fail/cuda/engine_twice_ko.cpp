// SPDX-License-Identifier: Apache-2.0
// expect: this engine is part of loopserve::compiled or loopserve::compiled_cuda
#include <loopserve/loopserve.cuh>

template class loopserve::engine<loopserve::defaults<loopserve::cuda>>;
