// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>

#include <chrono>
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

/// A product of two 8192 x 8192 matrices of bf16, summed in float32, by cuBLASLt's first choice.
class large_product {
 public:
  explicit large_product(ls::cuda const& b)
      : a_(random_bf16(b, n * n, 1)), x_(random_bf16(b, n * n, 2)), out_(b.make_buffer<ls::bf16>(n * n)), workspace_(b.make_buffer<unsigned char>(ls::index_t{64} << 20)) {
    auto const workspace_bytes = static_cast<std::size_t>(workspace_.bytes());
    cublasLtMatmulPreference_t preference = nullptr;
    int found = 0;
    cublasOperation_t const transposed = CUBLAS_OP_T;
    cublas_check(cublasLtCreate(&handle_), "cublasLtCreate");
    cublas_check(cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    cublas_check(cublasLtMatmulDescSetAttribute(product_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed), "describing a product");
    cublas_check(cublasLtMatrixLayoutCreate(&square_, CUDA_R_16BF, n, n, n), "describing a matrix");
    cublas_check(cublasLtMatmulPreferenceCreate(&preference), "asking for a product");
    cublas_check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes, sizeof workspace_bytes),
                 "asking for a product");
    cublas_check(cublasLtMatmulAlgoGetHeuristic(handle_, product_, square_, square_, square_, square_, preference, 1, &choice_, &found), "asking for a product");
    static_cast<void>(cublasLtMatmulPreferenceDestroy(preference));
    ls::check(found == 1, "cuBLASLt knows no way to multiply 8192 x 8192 matrices of bf16");
  }
  large_product(large_product const&) = delete;
  large_product& operator=(large_product const&) = delete;
  ~large_product() {
    static_cast<void>(cublasLtMatrixLayoutDestroy(square_));
    static_cast<void>(cublasLtMatmulDescDestroy(product_));
    static_cast<void>(cublasLtDestroy(handle_));
  }

  static constexpr double flops() { return 2.0 * n * n * n; }
  void multiply(ls::cuda const& b) {
    float const one = 1, zero = 0;
    cublas_check(cublasLtMatmul(handle_, product_, &one, a_.data(), square_, x_.data(), square_, &zero, out_.data(), square_, out_.data(), square_, &choice_.algo,
                                workspace_.data(), static_cast<std::size_t>(workspace_.bytes()), b.stream()),
                 "multiplying");
  }

 private:
  static constexpr ls::index_t n = 8192;
  ls::cuda_buffer<ls::bf16> a_, x_, out_;
  ls::cuda_buffer<unsigned char> workspace_;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t square_ = nullptr;
  cublasLtMatmulHeuristicResult_t choice_{};
};

/// Floating-point operations a second of a large product.
inline double bf16_rate(ls::cuda const& b) {
  large_product product(b);
  return 1e6 * large_product::flops() / time_of(b, 15, [&](int) { product.multiply(b); }).median;
}

/// Half a second of products: a device that did nothing before runs at low clocks, and what is measured first would look slow.
inline void warm_up() {
  ls::cuda const b;
  large_product product(b);
  auto const until = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  while (std::chrono::steady_clock::now() < until) {
    for (int i = 0; i < 10; ++i) { product.multiply(b); }
    b.synchronize();
  }
}

}  // namespace bench
