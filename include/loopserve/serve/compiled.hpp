// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/serve/defaults.hpp>
#include <loopserve/serve/engine.hpp>

/// The engines that the target loopserve::compiled holds: `engine<defaults<cpu>>` and `engine<defaults<reference>>`. A program that links it, which defines
/// LOOPSERVE_COMPILED, compiles neither again, however many files of it use them; engines of other parts are compiled where they are used, as without it.
#if LOOPSERVE_COMPILED && !LOOPSERVE_CUDA_COMPILER

#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>

namespace loopserve {

template <>
inline constexpr bool in_compiled<defaults<cpu>> = true;
template <>
inline constexpr bool in_compiled<defaults<reference>> = true;

extern template class engine<defaults<cpu>>;
extern template class engine<defaults<reference>>;

}  // namespace loopserve

#endif
