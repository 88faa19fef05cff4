// SPDX-License-Identifier: Apache-2.0
#include <loopserve/loopserve.hpp>

template class loopserve::engine<loopserve::defaults<loopserve::cpu>>;
