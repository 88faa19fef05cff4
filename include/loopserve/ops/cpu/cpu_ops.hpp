// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Everything that the cpu backend overrides. Whoever includes one includes all, or two translation units would disagree.

#include <loopserve/ops/cpu/cover_lines.hpp>
#include <loopserve/ops/cpu/cpu.hpp>
#include <loopserve/ops/cpu/elementwise.hpp>
#include <loopserve/ops/cpu/key_mass.hpp>
#include <loopserve/ops/cpu/key_sketch.hpp>
#include <loopserve/ops/cpu/line_mass.hpp>
#include <loopserve/ops/cpu/matmul.hpp>
#include <loopserve/ops/cpu/store_rows.hpp>
#include <loopserve/ops/cpu/top_k.hpp>
