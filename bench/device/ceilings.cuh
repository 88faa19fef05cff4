// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>

#include <string>

#include <loopserve/core/element.hpp>

#include "device_data.cuh"
#include "measure.cuh"

namespace bench {

/// Bytes a second that a large copy inside the device's memory reads and writes, together.
inline double copy_bandwidth(ls::cuda const& b) {
  ls::index_t const bytes = ls::index_t{2} << 30;
  auto from = b.make_buffer<unsigned char>(bytes), to = b.make_buffer<unsigned char>(bytes);
  b.fill(from.data(), 1, bytes);
  return 2e6 * static_cast<double>(bytes) / time_of(b, 15, [&](int) { b.copy_inside(to.data(), from.data(), bytes); }).median;
}

inline void cublas_check(cublasStatus_t status, char const* what) {
  if (status != CUBLAS_STATUS_SUCCESS) { throw ls::error(std::string(what) + ": " + cublasLtGetStatusString(status)); }
}

/// Floating-point operations a second of a product of two 8192 x 8192 matrices of bf16, summed in float32, by cuBLASLt's first choice.
inline double bf16_rate(ls::cuda const& b) {
  constexpr ls::index_t n = 8192;
  auto const a = random_bf16(b, n * n, 1), x = random_bf16(b, n * n, 2);
  auto out = b.make_buffer<ls::bf16>(n * n);
  auto workspace = b.make_buffer<unsigned char>(ls::index_t{64} << 20);
  std::size_t const workspace_bytes = static_cast<std::size_t>(workspace.bytes());
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t square = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulHeuristicResult_t choice{};
  int found = 0;
  cublasOperation_t const transposed = CUBLAS_OP_T;
  cublas_check(cublasLtCreate(&handle), "cublasLtCreate");
  cublas_check(cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
  cublas_check(cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed), "describing a product");
  cublas_check(cublasLtMatrixLayoutCreate(&square, CUDA_R_16BF, n, n, n), "describing a matrix");
  cublas_check(cublasLtMatmulPreferenceCreate(&preference), "asking for a product");
  cublas_check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes, sizeof workspace_bytes),
               "asking for a product");
  cublas_check(cublasLtMatmulAlgoGetHeuristic(handle, product, square, square, square, square, preference, 1, &choice, &found), "asking for a product");
  ls::check(found == 1, "cuBLASLt knows no way to multiply 8192 x 8192 matrices of bf16");
  float const one = 1, zero = 0;
  auto const time = time_of(b, 15, [&](int) {
    cublas_check(cublasLtMatmul(handle, product, &one, a.data(), square, x.data(), square, &zero, out.data(), square, out.data(), square, &choice.algo,
                                workspace.data(), workspace_bytes, b.stream()),
                 "multiplying");
  });
  static_cast<void>(cublasLtMatmulPreferenceDestroy(preference));
  static_cast<void>(cublasLtMatrixLayoutDestroy(square));
  static_cast<void>(cublasLtMatmulDescDestroy(product));
  static_cast<void>(cublasLtDestroy(handle));
  return 2e6 * static_cast<double>(n * n * n) / time.median;
}

}  // namespace bench
