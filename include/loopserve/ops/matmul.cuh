// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>

#include <loopserve/dev/device_backend.hpp>
#include <loopserve/ops/matmul.hpp>
#include <loopserve/ops/matmul_kernel.hpp>

namespace loopserve {

namespace detail {

template <device_backend B>
class narrow_rows {
 public:
  /// The rows in the element type `type`, dense.
  narrow_rows(B const& b, tensor_view<float const, 2> x, element_type type) : memory_(b.template make_buffer<std::uint16_t>(x.size())) {
    auto const convert = [&]<class Element>() {
      using kernel = narrow_rows_kernel<Element>;
      b.launch({blocks_for(x.extent(0), 1), blocks_for(x.extent(1), kernel::tile)}, kernel{x, reinterpret_cast<Element*>(memory_.data()), b.faults()});
    };
    if (type == element_type::bf16) {
      convert.template operator()<bf16>();
    } else {
      convert.template operator()<f16>();
    }
  }
  void const* data() const { return memory_.data(); }

 private:
  typename B::template buffer<std::uint16_t> memory_;
};

}  // namespace detail

/// The reference's matmul_parts for weights in bf16 or f16: the rows of x are rounded to the weights' type, sums are float32. All data lies in the device's memory.
/// A row's bits do not depend on the other rows of calls of the same class of row counts (up to 16, 128, 1024, more), as far as the device's library treats
/// the rows of one algorithm alike. An activation that f16 does not hold is found there: `synchronize()` throws error.
template <device_backend B>
void matmul_parts(B const& b, tensor_view<float const, 2> x, std::initializer_list<matmul_part> parts) {
  for (auto const& [w, bias, out] : parts) {
    check(x.extent(1) == w.cols && out.extent(0) == x.extent(0) && out.extent(1) == w.rows, "matmul: x (rows, in), w (out, in), out (rows, out) do not agree");
    check(bias.empty() || static_cast<index_t>(bias.size()) == w.rows, "matmul: the bias must have a value for every output");
    check(w.type == element_type::bf16 || w.type == element_type::f16, "matmul on a device: weights are bf16 or f16, others are converted when they are uploaded");
    check(w.cols > 0 && (out.stride(1) == 1 || w.rows <= 1), "matmul on a device: there is at least one input, and a row of out is contiguous");
  }
  for (auto const type : {element_type::bf16, element_type::f16}) {
    std::optional<detail::narrow_rows<B>> rows;
    for (auto const& [w, bias, out] : parts) {
      if (w.type != type || out.size() == 0) { continue; }
      if (!rows) { rows.emplace(b, x, type); }
      b.multiply({type, x.extent(0), w.cols, w.rows, rows->data(), w.data, bias.empty() ? nullptr : bias.data(), out.data(), out.stride(0)});
    }
  }
}

/// The reference's matmul, as one part of the above.
template <device_backend B>
void matmul(B const& b, tensor_view<float const, 2> x, weight_view w, std::span<float const> bias, tensor_view<float, 2> out) {
  matmul_parts(b, x, {{w, bias, out}});
}

}  // namespace loopserve
