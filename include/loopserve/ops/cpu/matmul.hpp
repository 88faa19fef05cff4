// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>

#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/few_rows.hpp>
#include <loopserve/ops/matmul.hpp>

namespace loopserve {

/// out = x w^T + bias in float32: x (rows, in), w (out, in) in its stored type, bias (out) or empty, out (rows, out).
/// A row of the result does not depend on the other rows.
inline void matmul(cpu const& b, tensor_view<float const, 2> x, weight_view w, std::span<float const> bias, tensor_view<float, 2> out) {
  check(x.extent(1) == w.cols && out.extent(0) == x.extent(0) && out.extent(1) == w.rows, "matmul: x (rows, in), w (out, in), out (rows, out) do not agree");
  check(bias.empty() || static_cast<index_t>(bias.size()) == w.rows, "matmul: the bias must have a value for every output");
  if (out.size() == 0) { return; }
  auto* const kernel = detail::few_rows_kernel_of(b.isa_level(), w.type);
  host_buffer<float> packed(x.extent(0) * (w.cols + 16));
  choose(b.isa_level(), baseline::pack_few_rows, avx2::pack_few_rows, avx512::pack_few_rows)(x, packed.data());
  few_rows_job const job{packed.data(), x.extent(0), w, bias.empty() ? nullptr : bias.data(), out.data(), out.stride(0), out.stride(1)};
  // A task's weights stay in the first-level cache while all rows pass over them, 4 outputs at a time.
  index_t const block = 16;
  bool const small = x.extent(0) * w.rows * w.cols < 65536;
  parallel_for(small ? 1 : b.threads(), (w.rows + block - 1) / block,
               [&](index_t t) { kernel(job, t * block, std::min(w.rows, (t + 1) * block)); });
}

}  // namespace loopserve
