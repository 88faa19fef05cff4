// SPDX-License-Identifier: Apache-2.0
// Attention on the cpu backend with the cpu's own loops.
#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/attention/dense_attention.hpp>
#include <loopserve/attention/line_sparse_attention.hpp>
#include <loopserve/ops/cpu/cpu.hpp>

void f(loopserve::cpu& b) {
  loopserve::dense_attention<loopserve::cpu> dense(b);
  loopserve::line_sparse_attention<loopserve::cpu> sparse(b);
}
