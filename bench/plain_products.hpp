// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <loopserve/ops/cpu/cpu_ops.hpp>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // gcc 12's own AVX-512 header, inlined into Eigen
#endif
#include <Eigen/Core>
#if LOOPSERVE_USE_ONEDNN
#include <dnnl.hpp>
#include <omp.h>
#endif

/// What a library makes of a product when it is asked for the whole at once: what the cpu backend is held against. out = x w^T; x (rows, inputs), w (outputs, inputs).
namespace bench {

inline void eigen_product(int threads, float const* x, float const* w, float* out, loopserve::index_t rows, loopserve::index_t inputs,
                          loopserve::index_t outputs) {
  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::setNbThreads(threads);
  Eigen::Map<matrix>(out, rows, outputs).noalias() =
      Eigen::Map<matrix const>(x, rows, inputs) * Eigen::Map<matrix const>(w, outputs, inputs).transpose();
  Eigen::setNbThreads(0);
}

#if LOOPSERVE_USE_ONEDNN
/// In E (bf16 or float): x rounded already.
template <class E>
void onednn_product(int threads, E const* x, E const* w, float* out, loopserve::index_t rows, loopserve::index_t inputs, loopserve::index_t outputs) {
  using memory = dnnl::memory;
  constexpr auto type = std::is_same_v<E, float> ? memory::data_type::f32 : memory::data_type::bf16;
  int const before = omp_get_max_threads();
  omp_set_num_threads(threads);
  static dnnl::engine const engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  memory const a({{rows, inputs}, type, memory::format_tag::ab}, engine, const_cast<E*>(x));
  memory const b({{inputs, outputs}, type, memory::format_tag::ba}, engine, const_cast<E*>(w));
  memory const c({{rows, outputs}, memory::data_type::f32, memory::format_tag::ab}, engine, out);
#if DNNL_VERSION_MAJOR >= 3
  dnnl::matmul::primitive_desc const description(engine, a.get_desc(), b.get_desc(), c.get_desc());
#else
  dnnl::matmul::primitive_desc const description(dnnl::matmul::desc(a.get_desc(), b.get_desc(), c.get_desc()), engine);
#endif
  dnnl::matmul(description).execute(stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}});
  stream.wait();
  omp_set_num_threads(before);
}
#endif

}  // namespace bench
