// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/ops/cpu/row_tiles.hpp>

#if LOOPSERVE_USE_ONEDNN
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <dnnl.h>
#include <dnnl_debug.h>

static_assert(DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP || DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_SEQ,
              "loopserve holds oneDNN to one thread a task, which one built for TBB or a thread pool does not allow: leave LOOPSERVE_HAS_ONEDNN out to use Eigen");

/// Products of many rows by oneDNN, in tiles of up to 64 rows by 64 outputs. Left to choose layouts itself, it reorders in every call.
/// It is called by its C functions: its C++ ones would cost every translation unit most of a second.

namespace loopserve::detail {

inline constexpr index_t onednn_rows = 64;
inline constexpr index_t onednn_inputs = 32;  ///< what inputs are padded to a multiple of: a block of its layout of bf16

/// oneDNN refused a call.
class onednn_error : public error {
 public:
  using error::error;
};

/// Throws onednn_error, with what oneDNN calls the failure, where a call of it failed.
inline void onednn_check(dnnl_status_t status) {
  if (status != dnnl_success) { throw onednn_error(std::string("oneDNN's status is ") + dnnl_status2str(status)); }
}

/// Owns what one of oneDNN's functions made, and gives it to `Destroy`.
template <class T, dnnl_status_t (*Destroy)(T*)>
struct onednn_delete {
  void operator()(T* made) const { Destroy(made); }
};
template <class T, dnnl_status_t (*Destroy)(T*)>
using onednn_owner = std::unique_ptr<T, onednn_delete<T, Destroy>>;

/// What `make(&made, arguments...)` makes. Throws onednn_error.
template <class Owner, class Make, class... Arguments>
Owner onednn_make(Make make, Arguments... arguments) {
  typename Owner::pointer made = nullptr;
  onednn_check(make(&made, arguments...));
  return Owner(made);
}

inline dnnl_engine_t onednn_engine() {
  static auto const engine = onednn_make<onednn_owner<dnnl_engine, dnnl_engine_destroy>>(dnnl_engine_create, dnnl_cpu, 0);
  return engine.get();
}

/// oneDNN's product of a tile, of bf16 (`narrow`) or float in float32 sums.
class onednn_tile {
  using description = onednn_owner<dnnl_primitive_desc, dnnl_primitive_desc_destroy>;
  using primitive = onednn_owner<dnnl_primitive, dnnl_primitive_destroy>;
  using stream = onednn_owner<dnnl_stream, dnnl_stream_destroy>;
  using memory = onednn_owner<dnnl_memory, dnnl_memory_destroy>;

 public:
  /// Nothing where oneDNN has nothing but plain loops for these layouts on this processor (so for bf16 where the processor does not multiply them; for
  /// float32 it has a product everywhere). It keeps what it has made (1,024 primitives, thread-safe), so asking again costs microseconds. `inputs` is a
  /// multiple of onednn_inputs. Throws onednn_error.
  static std::optional<onednn_tile> find(bool narrow, index_t height, index_t inputs) {
    one_library_thread const alone;
    auto described = describe(narrow, height, inputs);
    if (!described) { return std::nullopt; }
    char const* name = "";
    onednn_check(dnnl_primitive_desc_query(described.get(), dnnl_query_impl_info_str, 0, static_cast<void*>(&name)));
    if (narrow && std::string_view(name).substr(0, 3) != "brg") { return std::nullopt; }
    return onednn_tile(std::move(described));
  }

  /// The product where one task's operands lie.
  class task {
   public:
    task(onednn_tile const& tile, void* panel, float* sums)
        : tile_(&tile),
          stream_(onednn_make<stream>(dnnl_stream_create, onednn_engine(), unsigned{dnnl_stream_default_flags})),
          rows_(tile.place(dnnl_query_src_md, nullptr)),
          panel_(tile.place(dnnl_query_weights_md, panel)),
          sums_(tile.place(dnnl_query_dst_md, sums)),
          scratch_(tile.place(dnnl_query_scratchpad_md, thread_scratch<unsigned char, 0>(tile.scratch_bytes()))) {}

    /// sums = the rows times the panel. Throws onednn_error.
    void operator()(void* rows) {
      onednn_check(dnnl_memory_set_data_handle(rows_.get(), rows));
      dnnl_exec_arg_t const arguments[] = {
          {DNNL_ARG_SRC, rows_.get()}, {DNNL_ARG_WEIGHTS, panel_.get()}, {DNNL_ARG_DST, sums_.get()}, {DNNL_ARG_SCRATCHPAD, scratch_.get()}};
      onednn_check(dnnl_primitive_execute(tile_->product_.get(), stream_.get(), 4, arguments));
    }

   private:
    onednn_tile const* tile_;
    stream stream_;
    memory rows_, panel_, sums_, scratch_;
  };

 private:
  explicit onednn_tile(description described)
      : description_(std::move(described)),
        product_(onednn_make<primitive>(dnnl_primitive_create, static_cast<const_dnnl_primitive_desc_t>(description_.get()))) {}

  /// Null where oneDNN has no product of these at all.
  static description describe(bool narrow, index_t height, index_t inputs) {
    auto const type = narrow ? dnnl_bf16 : dnnl_f32;
    auto const panel_tag = narrow ? dnnl_BA16a64b2a : dnnl_ab;
    dnnl_dims_t const rows_shape = {height, inputs}, panel_shape = {inputs, panel_outputs}, sums_shape = {height, panel_outputs};
    auto const attributes = onednn_make<onednn_owner<dnnl_primitive_attr, dnnl_primitive_attr_destroy>>(dnnl_primitive_attr_create);
    onednn_check(dnnl_primitive_attr_set_scratchpad_mode(attributes.get(), dnnl_scratchpad_mode_user));
    dnnl_primitive_desc_t made = nullptr;
#if DNNL_VERSION_MAJOR >= 3
    using layout = onednn_owner<dnnl_memory_desc, dnnl_memory_desc_destroy>;
    auto const rows = onednn_make<layout>(dnnl_memory_desc_create_with_tag, 2, rows_shape, type, dnnl_ab);
    auto const panel = onednn_make<layout>(dnnl_memory_desc_create_with_tag, 2, panel_shape, type, panel_tag);
    auto const sums = onednn_make<layout>(dnnl_memory_desc_create_with_tag, 2, sums_shape, dnnl_f32, dnnl_ab);
    auto const status = dnnl_matmul_primitive_desc_create(&made, onednn_engine(), rows.get(), panel.get(), nullptr, sums.get(), attributes.get());
#else
    dnnl_memory_desc_t rows, panel, sums;
    onednn_check(dnnl_memory_desc_init_by_tag(&rows, 2, rows_shape, type, dnnl_ab));
    onednn_check(dnnl_memory_desc_init_by_tag(&panel, 2, panel_shape, type, panel_tag));
    onednn_check(dnnl_memory_desc_init_by_tag(&sums, 2, sums_shape, dnnl_f32, dnnl_ab));
    dnnl_matmul_desc_t product;
    onednn_check(dnnl_matmul_desc_init(&product, &rows, &panel, nullptr, &sums));
    auto const status = dnnl_primitive_desc_create(&made, &product, attributes.get(), onednn_engine(), nullptr);
#endif
    if (status == dnnl_unimplemented) { return nullptr; }
    onednn_check(status);
    return description(made);
  }

  auto layout_of(dnnl_query_t which) const { return dnnl_primitive_desc_query_md(description_.get(), which, 0); }
  index_t scratch_bytes() const { return static_cast<index_t>(dnnl_memory_desc_get_size(layout_of(dnnl_query_scratchpad_md))); }
  memory place(dnnl_query_t which, void* data) const { return onednn_make<memory>(dnnl_memory_create, layout_of(which), onednn_engine(), data); }

  description description_;
  primitive product_;
};

/// Whether products of many rows with weights of this type round activations to bf16.
inline bool rounds_activations(cpu const& b, element_type type) {
  static bool const narrow = onednn_tile::find(true, onednn_rows, onednn_inputs).has_value();
  return narrow && type == element_type::bf16 && !b.exact_products();
}

template <class E>
void many_rows_by_onednn(cpu const& b, product const& job, tensor_view<float const, 2> x) {
  index_t const inputs = std::max<index_t>(1, (job.w.cols + onednn_inputs - 1) / onednn_inputs) * onednn_inputs;
  padded_tiles const tiles(job.rows(), onednn_rows);
  auto const tile = onednn_tile::find(std::is_same_v<E, bf16>, tiles.height, inputs);
  if (!tile) { throw onednn_error("oneDNN has no product of so many inputs"); }
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
  } catch (onednn_error const& e) {
    throw error("matmul: oneDNN failed on x (" + std::to_string(job.rows()) + ", " + std::to_string(job.w.cols) + ") by w (" +
                std::to_string(job.w.rows) + ", " + std::to_string(job.w.cols) + ") of " + name_of(job.w.type) + ": " + e.what());
  }
}

}  // namespace loopserve::detail
#endif
