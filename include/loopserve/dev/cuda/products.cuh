// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include <loopserve/core/error.hpp>
#include <loopserve/dev/product.hpp>

namespace loopserve {

/// Throws cuda_error where `status` is no success: "`what`: cuBLASLt's sentence (file:line)".
inline void cublas_check(cublasStatus_t status, char const* what, source_place place = here()) {
  if (status == CUBLAS_STATUS_SUCCESS) { return; }
  throw cuda_error(std::string(what) + ": " + cublasLtGetStatusString(status) + " (" + place.file + ":" + std::to_string(place.line) + ")");
}

namespace detail {

/// Matrix products by cuBLASLt. The algorithm for a shape of weights is chosen once for each class of row counts and stays, and none that cuts a sum in parts
/// is taken: so a row's bits depend on the class, as far as an algorithm of cuBLASLt treats its rows alike, but not on how many rows of the class come along
/// (unless there is none for the class, or it refuses to run with so many, which its check would say; then another one is chosen for them).
class cuda_products {
 public:
  static constexpr index_t workspace_bytes = index_t{32} << 20;

  cuda_products() { cublas_check(cublasLtCreate(&library_), "starting cuBLASLt"); }
  cuda_products(cuda_products const&) = delete;
  cuda_products& operator=(cuda_products const&) = delete;
  ~cuda_products() { static_cast<void>(cublasLtDestroy(library_)); }

  /// Queues the product; `workspace` has `workspace_bytes` and is used by one product after the other.
  void run(matrix_product const& p, void* workspace, cudaStream_t stream) {
    description d(p, p.rows);
    auto const& algorithm = algorithm_for(p, d);
    float const one = 1, zero = 0;
    cublas_check(cublasLtMatmul(library_, &d.how, &one, p.w, &d.w, p.x, &d.x, &zero, p.out, &d.out, p.out, &d.out, &algorithm, workspace,
                                static_cast<std::size_t>(workspace_bytes), stream),
                 "queuing a matrix product");
  }

  /// The most rows of the class that `rows` belongs to: decoding, short inputs, chunks, long chunks.
  static constexpr index_t class_of(index_t rows) { return rows <= 16 ? 16 : rows <= 128 ? 128 : rows <= 1024 ? 1024 : 4096; }

 private:
  // Column by column, as cuBLASLt reads: out^T (outputs, rows) = w (outputs, inputs) x^T (inputs, rows).
  struct description {
    description(matrix_product const& p, index_t rows) {
      auto const type = p.type == element_type::bf16 ? CUDA_R_16BF : CUDA_R_16F;
      auto const inputs = static_cast<std::uint64_t>(p.inputs), outputs = static_cast<std::uint64_t>(p.outputs);
      auto const count = static_cast<std::uint64_t>(rows);
      cublas_check(cublasLtMatmulDescInit(&how, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a matrix product");
      set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
      if (p.bias != nullptr) {
        set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void const*>(p.bias));
      }
      cublas_check(cublasLtMatrixLayoutInit(&w, type, inputs, outputs, p.inputs), "describing weights");
      cublas_check(cublasLtMatrixLayoutInit(&x, type, inputs, count, p.inputs), "describing rows");
      cublas_check(cublasLtMatrixLayoutInit(&out, CUDA_R_32F, outputs, count, p.out_stride), "describing results");
    }
    template <class T>
    void set(cublasLtMatmulDescAttributes_t what, T const& value) {
      cublas_check(cublasLtMatmulDescSetAttribute(&how, what, &value, sizeof value), "describing a matrix product");
    }

    cublasLtMatmulDescOpaque_t how;
    cublasLtMatrixLayoutOpaque_t w, x, out;
  };

  using shape = std::tuple<element_type, index_t, index_t, index_t, index_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;

  static shape shape_of(matrix_product const& p, index_t rows) {
    return {p.type, p.inputs, p.outputs, rows, p.out_stride, alignment(p.w), alignment(p.x), alignment(p.out), p.bias == nullptr ? 0 : alignment(p.bias)};
  }

  /// That of the class of `d`'s rows, where it takes them; else one of their own.
  cublasLtMatmulAlgo_t const& algorithm_for(matrix_product const& p, description& d) {
    auto const own = algorithms_.find(shape_of(p, p.rows));
    if (own != algorithms_.end()) { return own->second; }
    auto const in_class = shape_of(p, class_of(p.rows));
    auto found = algorithms_.find(in_class);
    if (found == algorithms_.end()) {
      if (auto const chosen = choose(p, class_of(p.rows))) { found = algorithms_.emplace(in_class, *chosen).first; }
    }
    if (found != algorithms_.end() && fits(found->second, d)) { return algorithms_.emplace(shape_of(p, p.rows), found->second).first->second; }
    auto const chosen = choose(p, p.rows);
    if (!chosen) {
      throw cuda_error("cuBLASLt has no algorithm for " + std::to_string(p.rows) + " rows of " + std::to_string(p.inputs) + " inputs and " +
                       std::to_string(p.outputs) + " outputs in " + name_of(p.type));
    }
    return algorithms_.emplace(shape_of(p, p.rows), *chosen).first->second;
  }

  bool fits(cublasLtMatmulAlgo_t const& algorithm, description& d) const {
    cublasLtMatmulHeuristicResult_t fit;
    return cublasLtMatmulAlgoCheck(library_, &d.how, &d.w, &d.x, &d.out, &d.out, &algorithm, &fit) == CUBLAS_STATUS_SUCCESS &&
           fit.workspaceSize <= static_cast<std::size_t>(workspace_bytes);
  }

  /// Empty where cuBLASLt has none.
  std::optional<cublasLtMatmulAlgo_t> choose(matrix_product const& p, index_t rows) const {
    description d(p, rows);
    cublasLtMatmulPreferenceOpaque_t wish;
    cublas_check(cublasLtMatmulPreferenceInit(&wish), "asking for an algorithm");
    auto const ask = [&](cublasLtMatmulPreferenceAttributes_t what, auto value) {
      cublas_check(cublasLtMatmulPreferenceSetAttribute(&wish, what, &value, sizeof value), "asking for an algorithm");
    };
    ask(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_bytes));
    ask(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
    ask(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p.w));
    ask(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p.x));
    ask(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(p.out));
    ask(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(p.out));
    cublasLtMatmulHeuristicResult_t best;
    int count = 0;
    auto const status = cublasLtMatmulAlgoGetHeuristic(library_, &d.how, &d.w, &d.x, &d.out, &d.out, &wish, 1, &best, &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) { return std::nullopt; }
    cublas_check(status, "choosing an algorithm for a matrix product");
    if (count == 0 || best.state != CUBLAS_STATUS_SUCCESS) { return std::nullopt; }
    return best.algo;
  }

  /// The largest power of two, up to 256, that divides an address.
  static std::uint32_t alignment(void const* p) {
    auto const address = reinterpret_cast<std::uintptr_t>(p) | 256;
    return static_cast<std::uint32_t>(address & (~address + 1));
  }

  cublasLtHandle_t library_ = nullptr;
  std::map<shape, cublasLtMatmulAlgo_t> algorithms_;
};

}  // namespace detail
}  // namespace loopserve
