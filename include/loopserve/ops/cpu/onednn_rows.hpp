// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/ops/cpu/row_tiles.hpp>

#if LOOPSERVE_USE_ONEDNN
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include <dnnl.hpp>

static_assert(DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP || DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_SEQ,
              "loopserve holds oneDNN to one thread a task, which one built for TBB or a thread pool does not allow: leave LOOPSERVE_HAS_ONEDNN out to use Eigen");

/// Products of many rows by oneDNN, in tiles of up to 64 rows by 64 outputs. Left to choose layouts itself, it reorders in every call.

namespace loopserve::detail {

inline constexpr index_t onednn_rows = 64;
inline constexpr index_t onednn_inputs = 32;  ///< what inputs are padded to a multiple of: a block of its layout of bf16

inline dnnl::engine const& onednn_engine() {
  static dnnl::engine const engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// oneDNN's product of a tile, of E (bf16 or float) in float32 sums.
class onednn_tile {
 public:
  /// Nothing where oneDNN has nothing but plain loops for the layouts of E on this processor (so for bf16 where the processor does not multiply them; for
  /// float32 it has a product everywhere). It keeps what it has made (1,024 primitives, thread-safe), so asking again costs microseconds. `inputs` is a
  /// multiple of onednn_inputs.
  template <class E>
  static std::optional<onednn_tile> find(index_t height, index_t inputs) {
    using memory = dnnl::memory;
    constexpr bool narrow = std::is_same_v<E, bf16>;
    one_library_thread const alone;
    auto const type = narrow ? memory::data_type::bf16 : memory::data_type::f32;
    memory::desc const rows({height, inputs}, type, memory::format_tag::ab);
    memory::desc const panel({inputs, panel_outputs}, type, narrow ? memory::format_tag::BA16a64b2a : memory::format_tag::ab);
    memory::desc const sums({height, panel_outputs}, memory::data_type::f32, memory::format_tag::ab);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR >= 3
    dnnl::matmul::primitive_desc const description(onednn_engine(), rows, panel, sums, attributes, true);
#else
    dnnl::matmul::primitive_desc const description(dnnl::matmul::desc(rows, panel, sums), attributes, onednn_engine(), true);
#endif
    if (!description || (narrow && std::string_view(description.impl_info_str()).substr(0, 3) != "brg")) { return std::nullopt; }
    return onednn_tile(description);
  }

  /// The product where one task's operands lie.
  class task {
   public:
    task(onednn_tile const& tile, void* panel, float* sums)
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
    void operator()(void* rows) {
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

/// Whether products of many rows with weights of this type round activations to bf16.
inline bool rounds_activations(cpu const& b, element_type type) {
  static bool const narrow = onednn_tile::find<bf16>(onednn_rows, onednn_inputs).has_value();
  return narrow && type == element_type::bf16 && !b.exact_products();
}

template <class E>
void many_rows_by_onednn(cpu const& b, product const& job, tensor_view<float const, 2> x) {
  index_t const inputs = std::max<index_t>(1, (job.w.cols + onednn_inputs - 1) / onednn_inputs) * onednn_inputs;
  padded_tiles const tiles(job.rows(), onednn_rows);
  auto const tile = onednn_tile::find<E>(tiles.height, inputs);
  check(tile.has_value(), "matmul: oneDNN has no product of so many inputs");
  multiply_in_tiles<E>(b, job, x, tiles, inputs, [&](E* panel, float* sums) { return onednn_tile::task(*tile, panel, sums); });
}

/// out = x w^T + bias for more than a few rows, every row of x contiguous.
inline void many_rows(cpu const& b, product const& job, tensor_view<float const, 2> x) {
  try {
    if (rounds_activations(b, job.w.type)) {
      many_rows_by_onednn<bf16>(b, job, x);
    } else {
      many_rows_by_onednn<float>(b, job, x);
    }
  } catch (dnnl::error const& e) {
    throw error("matmul: oneDNN failed on x (" + std::to_string(job.rows()) + ", " + std::to_string(job.w.cols) + ") by w (" +
                std::to_string(job.w.rows) + ", " + std::to_string(job.w.cols) + ") of " + name_of(job.w.type) + ": " + e.what());
  }
}

}  // namespace loopserve::detail
#endif
