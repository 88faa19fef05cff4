// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/ops/cover_lines.hpp>
#include <loopserve/ops/cpu/line_mass.hpp>

namespace loopserve {

/// The cpu backend's: the reference's greedy from the cpu's own line masses.
inline void cover_lines(cpu const& b, tensor_view<float const, 2> a, std::span<int const> positions, int rows, cover_options const& o, cover_view out) {
  detail::cover_head(b, a, positions, rows, o, out);
}

}  // namespace loopserve
