// SPDX-License-Identifier: Apache-2.0
// No include guard: it reads the kernels named by LOOPSERVE_KERNELS once for each instruction set, into the namespaces `avx2` and `avx512` or into `baseline`:
//
//   #include <loopserve/ops/cpu/simd.hpp>          // vec, load, fma, ... in each of them
//   #define LOOPSERVE_KERNELS <loopserve/ops/cpu/kernels/rows.inc>
//   #include <loopserve/ops/cpu/each_isa.hpp>
//
// and a caller takes `choose(b.isa_level(), baseline::f, avx2::f, avx512::f)`. A kernel file holds inline functions and templates only, includes nothing
// (what it needs of the standard library is included before) and calls no function of std:: that could be instantiated with the wrong instructions.
#include <loopserve/core/config.hpp>
#include <loopserve/core/element.hpp>
#include <loopserve/core/ids.hpp>

#ifdef LOOPSERVE_KERNELS
#if LOOPSERVE_X86_64
LOOPSERVE_AVX2_BEGIN
namespace loopserve::avx2 {
#include LOOPSERVE_KERNELS
}
LOOPSERVE_TARGET_END
LOOPSERVE_AVX512_BEGIN
namespace loopserve::avx512 {
#include LOOPSERVE_KERNELS
}
LOOPSERVE_TARGET_END
// Not chosen (isa.hpp), but named.
namespace loopserve::baseline {
using namespace avx2;
}
#else
namespace loopserve::baseline {
#include LOOPSERVE_KERNELS
}
namespace loopserve::avx2 {
using namespace baseline;
}
namespace loopserve::avx512 {
using namespace baseline;
}
#endif
#undef LOOPSERVE_KERNELS
#endif
