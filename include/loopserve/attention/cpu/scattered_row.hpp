// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <loopserve/attention/cpu/attend_tile.hpp>

#define LOOPSERVE_KERNELS <loopserve/attention/cpu/kernels/scattered_row.inc>
#include <loopserve/ops/cpu/each_isa.hpp>
