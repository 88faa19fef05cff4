// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/core/weight_view.hpp>

namespace loopserve {

/// Row `ids[r]` of `table` (vocabulary, width) as float32 into row r of `out` (ids, width), rows dense inside.
/// Throws error for an id that the table does not have.
inline void embed(reference const&, weight_view table, std::span<token_id const> ids, tensor_view<float, 2> out) {
  check(out.extent(0) == static_cast<index_t>(ids.size()) && out.extent(1) == table.cols, "embed: out must be (ids, width)");
  check(out.stride(1) == 1, "embed: a row of out must be contiguous");
  for (std::size_t r = 0; r < ids.size(); ++r) {
    auto const id = raw(ids[r]);
    if (id < 0 || id >= table.rows) {
      throw error("token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(table.rows) + " tokens");
    }
    unpack_row(table, id, &out(r, 0));
  }
}

}  // namespace loopserve
