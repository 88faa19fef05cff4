// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/ops/cpu/row_tiles.hpp>

#if !LOOPSERVE_USE_ONEDNN
#if !__has_include(<Eigen/Core>)
#error "loopserve's cpu backend needs Eigen (Debian: libeigen3-dev, -I/usr/include/eigen3), or oneDNN (-fopenmp -DLOOPSERVE_HAS_ONEDNN=1 -ldnnl)"
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // gcc 12's own AVX-512 header, inlined into Eigen
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/// Products of many rows by Eigen, where there is no oneDNN. Eigen's instruction set is the one that the program is compiled for (`-march=native`), unlike
/// that of our own kernels: translation units compiled for different ones would define Eigen's templates differently, and the linker keeps one of them.
/// Tasks of ours run in parallel and hold Eigen to one thread each, unless the program calls Eigen::setNbThreads and the backend has one thread.

namespace loopserve::detail {

inline constexpr index_t eigen_rows = 256;  ///< in a tile: Eigen packs the panel anew for each (64 rows: a quarter of the speed lost, 256: a tenth)

/// Eigen multiplies float32 only as fast as the processor does.
inline bool rounds_activations(cpu const&, element_type) { return false; }

/// out = x w^T + bias for more than a few rows, every row of x contiguous.
inline void many_rows(cpu const& b, product const& job, tensor_view<float const, 2> x) {
  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  padded_tiles const tiles(job.rows(), eigen_rows);
  index_t const inputs = job.w.cols;
  multiply_in_tiles<float>(b, job, x, tiles, inputs, [&](float const* panel, float* sums) {
    return [=](float const* rows) {
      Eigen::Map<matrix>(sums, tiles.height, panel_outputs).noalias() =
          Eigen::Map<matrix const>(rows, tiles.height, inputs) * Eigen::Map<matrix const>(panel, inputs, panel_outputs);
    };
  });
}

}  // namespace loopserve::detail
#endif
