// SPDX-License-Identifier: Apache-2.0
// expect: incomplete type.*cpu_attention_overrides
// The same without the header that holds them: the reference's loops are never taken instead.
#include <loopserve/attention/dense_attention.hpp>
#include <loopserve/ops/cpu/cpu.hpp>

void f(loopserve::cpu& b) { loopserve::dense_attention<loopserve::cpu> dense(b); }
