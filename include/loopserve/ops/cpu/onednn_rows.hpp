// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/ops/cpu/many_rows.hpp>

#if LOOPSERVE_USE_ONEDNN
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include <omp.h>
#include <dnnl.hpp>

/// Products of many rows by oneDNN. A primitive's shape is always (64, inputs) x (inputs, 64 outputs), the last rows padded with zeros, and runs on one
/// thread; tasks of our own run in parallel. So a row's bits depend on nothing but the row and its weights, whatever oneDNN chooses for a shape.

namespace loopserve::detail {

inline constexpr index_t onednn_rows = 64;
inline constexpr index_t onednn_outputs = 64;
inline constexpr index_t onednn_inputs = 32;  ///< what inputs are padded to a multiple of

/// Whether oneDNN takes a product of so many rows: where the padding adds no more than a quarter. Own tiles are six rows high.
constexpr bool onednn_takes(index_t rows) { return (rows + onednn_rows - 1) / onednn_rows * onednn_rows * 4 <= rows * 5; }

/// While it lives, oneDNN uses the calling thread alone.
class one_onednn_thread {
 public:
  one_onednn_thread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~one_onednn_thread() { omp_set_num_threads(before_); }
  one_onednn_thread(one_onednn_thread const&) = delete;
  one_onednn_thread& operator=(one_onednn_thread const&) = delete;

 private:
  int before_;
};

inline dnnl::engine const& onednn_engine() {
  static dnnl::engine const engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// oneDNN's product of a tile, of E (bf16 or float) in float32 sums.
class onednn_tile {
 public:
  /// Nothing where oneDNN has no blocked kernel for E on this processor, or threads that we could not hold to one. oneDNN keeps what it has made (1,024 primitives,
  /// thread-safe), so asking again costs microseconds. `inputs` is a multiple of onednn_inputs.
  template <class E>
  static std::optional<onednn_tile> find(index_t inputs) {
    using memory = dnnl::memory;
    constexpr bool narrow = std::is_same_v<E, bf16>;
    if (DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_OMP && DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_SEQ) { return std::nullopt; }
    one_onednn_thread const alone;
    auto const type = narrow ? memory::data_type::bf16 : memory::data_type::f32;
    memory::desc const rows({onednn_rows, inputs}, type, memory::format_tag::ab);
    memory::desc const panel({inputs, onednn_outputs}, type, narrow ? memory::format_tag::BA16a64b2a : memory::format_tag::ab);
    memory::desc const sums({onednn_rows, onednn_outputs}, memory::data_type::f32, memory::format_tag::ab);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR >= 3
    dnnl::matmul::primitive_desc const description(onednn_engine(), rows, panel, sums, attributes, true);
#else
    dnnl::matmul::primitive_desc const description(dnnl::matmul::desc(rows, panel, sums), attributes, onednn_engine(), true);
#endif
    // What else oneDNN would take for these layouts are its plain loops.
    if (!description || std::string_view(description.impl_info_str()).substr(0, 3) != "brg") { return std::nullopt; }
    return onednn_tile(description);
  }

  /// Where one task's operands lie.
  class operands {
   public:
    operands(onednn_tile const& tile, void* panel, float* sums)
        : tile_(&tile),
          stream_(onednn_engine()),
          rows_(tile.description_.src_desc(), onednn_engine(), nullptr),
          arguments_{{DNNL_ARG_SRC, rows_},
                     {DNNL_ARG_WEIGHTS, {tile.description_.weights_desc(), onednn_engine(), panel}},
                     {DNNL_ARG_DST, {tile.description_.dst_desc(), onednn_engine(), sums}},
                     {DNNL_ARG_SCRATCHPAD,
                      {tile.description_.scratchpad_desc(), onednn_engine(),
                       thread_scratch<unsigned char, 0>(static_cast<index_t>(tile.description_.scratchpad_desc().get_size()))}}} {}

    /// sums = the rows times the panel.
    template <class E>
    void multiply(E* rows) {
      rows_.set_data_handle(rows);
      tile_->product_.execute(stream_, arguments_);
    }

   private:
    onednn_tile const* tile_;
    dnnl::stream stream_;
    dnnl::memory rows_;
    std::unordered_map<int, dnnl::memory> arguments_;
  };

 private:
  explicit onednn_tile(dnnl::matmul::primitive_desc description) : description_(std::move(description)), product_(description_) {}

  dnnl::matmul::primitive_desc description_;
  dnnl::matmul product_;
};

/// The product, x rounded to E; false where oneDNN has no kernel for it. `kernels` are those whose panels are onednn_outputs wide. A panel is packed once, for all rows.
template <class E, class X>
bool many_rows_by_onednn(cpu const& b, product const& job, tensor_view<float const, 2> x, many_rows_kernels<X> const& kernels) {
  index_t const inputs = (job.w.cols + onednn_inputs - 1) / onednn_inputs * onednn_inputs;
  try {
    auto const tile = onednn_tile::find<E>(inputs);
    if (!tile) { return false; }
    index_t const tiles = (job.rows() + onednn_rows - 1) / onednn_rows;
    E* const rows = copied_rows<E>(b, x, tiles * onednn_rows, inputs);
    parallel_for(b.threads(), kernels.panels(job), [&](index_t p) {
      one_onednn_thread const alone;
      index_t const output = p * onednn_outputs;
      index_t const steps = inputs / kernels.inputs;
      index_t const filled = (job.w.cols + kernels.inputs - 1) / kernels.inputs;
      X* const panel = thread_scratch<X, 0>(steps * onednn_outputs);
      float* const sums = thread_scratch<float, 1>(onednn_rows * onednn_outputs);
      kernels.pack(job.w, output, std::min(onednn_outputs, job.w.rows - output), 0, job.w.cols, panel);
      std::fill(panel + filled * onednn_outputs, panel + steps * onednn_outputs, X{});
      onednn_tile::operands operands(*tile, panel, sums);
      for (index_t t = 0; t < tiles; ++t) {
        operands.multiply(rows + t * onednn_rows * inputs);
        write_rows(job, kernels, sums, t * onednn_rows, std::min(onednn_rows, job.rows() - t * onednn_rows), output);
      }
    });
  } catch (dnnl::error const& e) {
    throw error("matmul: oneDNN failed on x (" + std::to_string(job.rows()) + ", " + std::to_string(job.w.cols) + ") by w (" +
                std::to_string(job.w.rows) + ", " + std::to_string(job.w.cols) + ") of " + name_of(job.w.type) + ": " + e.what());
  }
  return true;
}

}  // namespace loopserve::detail
#endif
