// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include <loopserve/attention/cpu/lane_tile.hpp>
#include <loopserve/ops/cpu/simd.hpp>

#define LOOPSERVE_KERNELS <loopserve/attention/cpu/kernels/attend_tile.inc>
#include <loopserve/ops/cpu/each_isa.hpp>
