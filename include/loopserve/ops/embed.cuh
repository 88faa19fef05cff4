// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/embed.hpp>
#include <loopserve/ops/embed_kernel.hpp>

namespace loopserve {

/// The reference's embed, into float32, bf16 or f16. The table and the ids lie in the device's memory, so an id that the table does not have is found there: its
/// row is NaN, and `synchronize()` throws error.
template <device_backend B, class Out>
void embed(B const& b, weight_view table, std::span<token_id const> ids, tensor_view<Out, 2> out) {
  check(out.extent(0) == static_cast<index_t>(ids.size()) && out.extent(1) == table.cols, "embed: out must be (ids, width)");
  grid const rows{blocks_for(out.extent(0), 1)};
  auto const row_bytes = table.row_bytes();
  switch (table.type) {
    case element_type::f32: return b.launch(rows, embed_kernel<element_type::f32, Out>{table, row_bytes, ids.data(), out, b.faults()});
    case element_type::f16: return b.launch(rows, embed_kernel<element_type::f16, Out>{table, row_bytes, ids.data(), out, b.faults()});
    case element_type::bf16: return b.launch(rows, embed_kernel<element_type::bf16, Out>{table, row_bytes, ids.data(), out, b.faults()});
    case element_type::q8_0: return b.launch(rows, embed_kernel<element_type::q8_0, Out>{table, row_bytes, ids.data(), out, b.faults()});
  }
  throw error("embed: a table of an unknown element type");
}

}  // namespace loopserve
