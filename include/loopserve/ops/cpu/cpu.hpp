// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/ops/cpu/isa.hpp>

namespace loopserve {

struct cpu_options {
  int threads = 0;              ///< 0: as many as the machine has. Results do not depend on it.
  isa level = best_isa();       ///< of own kernels; a lower one of supported_isas(), to test it: results may differ in the last bits
  bool exact_products = false;  ///< products of many rows keep float32 activations; otherwise they are rounded to bf16 where weights are bf16 and that is faster
};

/// All cores and vector instructions of the host, chosen at run time; what it does not override is the reference's.
/// A row's result does not depend on the other rows of a call (see matmul.hpp for the kinds of product), nor on the number of threads.
class cpu : public reference {
 public:
  using options = cpu_options;

  explicit cpu(int threads = 0) : cpu(cpu_options{.threads = threads}) {}

  /// Throws error where the machine lacks the instruction set asked for.
  explicit cpu(cpu_options const& o) : reference(o.threads), level_(o.level), exact_products_(o.exact_products) {
    auto const supported = supported_isas();
    check(!supported.empty(), "this processor lacks AVX2, FMA or F16C: compile with LOOPSERVE_PORTABLE, or use the reference backend");
    check(std::ranges::find(supported, level_) != supported.end(), "this machine does not have the instruction set that the cpu backend was asked to use");
  }

  isa isa_level() const { return level_; }
  bool exact_products() const { return exact_products_; }

 private:
  isa level_;
  bool exact_products_;
};

static_assert(backend<cpu>);

}  // namespace loopserve
