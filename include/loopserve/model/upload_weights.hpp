// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/model/decoder_view.hpp>
#include <loopserve/model/weights_report.hpp>
#include <loopserve/ops/copy.hpp>

namespace loopserve {

/// The type of a matrix in a device's memory: products are of bf16 and f16.
constexpr element_type device_type(element_type stored) { return stored == element_type::f16 ? element_type::f16 : element_type::bf16; }

namespace detail {

/// Sends bytes to a device through two halves of pinned memory: one is filled while the other is copied.
template <class Backend>
class staging {
 public:
  staging(Backend const& backend, index_t half_bytes) : backend_(&backend), half_bytes_(half_bytes), memory_(backend.template make_pinned<unsigned char>(2 * half_bytes)) {}

  index_t half_bytes() const { return half_bytes_; }

  /// `fill(to)` writes `bytes` bytes, at most half_bytes(), which are then on their way.
  template <class Fill>
  void send(unsigned char* to_device, index_t bytes, Fill&& fill) {
    auto* const half = memory_.data() + (second_ ? half_bytes_ : 0);
    fill(half);
    backend_->synchronize();  // the other half is free from here on
    upload(*backend_, static_cast<unsigned char const*>(half), bytes, to_device);
    second_ = !second_;
  }

 private:
  Backend const* backend_;
  index_t half_bytes_;
  decltype(std::declval<Backend const&>().template make_pinned<unsigned char>(0)) memory_;
  bool second_ = false;
};

/// Rows [first, first + rows) of `w` in the device's type.
inline void write_rows(weight_view w, index_t first, index_t rows, unsigned char* to) {
  constexpr index_t at_once = 16;
  index_t const row_bytes = bytes_of(device_type(w.type), w.cols);
  parallel_for(available_threads(), (rows + at_once - 1) / at_once, [&](index_t block) {
    index_t const low = block * at_once, high = std::min(rows, low + at_once);
    if (w.type == device_type(w.type)) {
      std::memcpy(to + low * row_bytes, w.row(first + low), static_cast<std::size_t>((high - low) * row_bytes));
      return;
    }
    std::vector<float> row(static_cast<std::size_t>(w.cols));
    for (index_t r = low; r < high; ++r) {
      unpack_row(w, first + r, row.data());
      auto* const out = reinterpret_cast<bf16*>(to + r * row_bytes);
      for (index_t i = 0; i < w.cols; ++i) { out[i] = static_cast<bf16>(row[static_cast<std::size_t>(i)]); }
    }
  });
}

}  // namespace detail

/// A decoder's weights where a backend computes with them; on the host they lie in memory of their own.
template <class Backend>
struct placed_weights {
  typename Backend::template buffer<unsigned char> matrices;
  typename Backend::template buffer<float> lists;
  decoder_view view;
  weights_report report;
};

/// Copies the weights that `host` views to the device, matrix by matrix and a tied one once, f32 and q8_0 as bf16; no second copy is made in the host's memory. Throws
/// capacity_error before anything is copied where they do not fit.
template <class Backend>
placed_weights<Backend> upload_weights(Backend const& backend, decoder_view host) {
  constexpr index_t alignment = 256, list_alignment = 64, staged_bytes = index_t{16} << 20;
  auto const padded = [](index_t n, index_t to) { return (n + to - 1) / to * to; };
  placed_weights<Backend> out;
  out.view = std::move(host);
  std::map<void const*, index_t> places;  // of matrices
  index_t bytes = 0, longest_row = 0, floats = 0;
  out.view.for_each_matrix([&](weight_view& w) {
    if (!places.emplace(w.data, bytes).second) { return; }
    index_t const size = w.rows * bytes_of(device_type(w.type), w.cols);
    bytes += padded(size, alignment);
    longest_row = std::max(longest_row, bytes_of(device_type(w.type), w.cols));
    out.report.add(w.type, w.bytes(), device_type(w.type), size);
  });
  out.view.for_each_list([&](std::span<float const>& list) { floats += padded(static_cast<index_t>(list.size()), list_alignment); });
  try {
    out.matrices = backend.template make_buffer<unsigned char>(bytes);
    out.lists = backend.template make_buffer<float>(floats);
  } catch (capacity_error const& e) {
    throw capacity_error("the weights, " + std::to_string(bytes + floats * index_t{sizeof(float)}) + " bytes, do not fit into the device's memory: " + e.what());
  }

  detail::staging<Backend> staging(backend, std::max(longest_row, std::min(bytes, staged_bytes)));
  std::map<void const*, bool> sent;
  out.view.for_each_matrix([&](weight_view& w) {
    auto const from = std::exchange(w, {device_type(w.type), w.rows, w.cols, out.matrices.data() + places.at(w.data)});
    if (std::exchange(sent[from.data], true)) { return; }
    index_t const row_bytes = w.row_bytes(), at_once = row_bytes > 0 ? staging.half_bytes() / row_bytes : 0;
    for (index_t first = 0; row_bytes > 0 && first < w.rows; first += at_once) {
      index_t const rows = std::min(at_once, w.rows - first);
      staging.send(out.matrices.data() + places.at(from.data) + first * row_bytes, rows * row_bytes,
                   [&](unsigned char* to) { detail::write_rows(from, first, rows, to); });
    }
  });
  index_t at = 0;
  out.view.for_each_list([&](std::span<float const>& list) {
    auto* const to = out.lists.data() + at;
    upload(backend, list.data(), static_cast<index_t>(list.size()), to);
    at += padded(static_cast<index_t>(list.size()), list_alignment);
    list = {to, list.size()};
  });
  return out;
}

}  // namespace loopserve
