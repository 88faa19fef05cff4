// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/kv_view.hpp>
#include <loopserve/dev/primitives.hpp>

namespace loopserve::dev {

// kv_view's functions for kernels: its tables lie in global memory, which kernels read through `load`. What they return is an address there.

template <class Element>
LOOPSERVE_DEVICE Element const* row_of(kv_view<Element> const& kv, Element const* const* pages, int i, int kv_head) {
  auto const t = static_cast<index_t>(kv.first) + i;
  auto const* const page = load(pages + kv_head * kv.page_table_stride + (t >> kv.page_shift));
  return page + (t & ((index_t{1} << kv.page_shift) - 1)) * kv.row_stride;
}
template <class Element>
LOOPSERVE_DEVICE Element const* key(kv_view<Element> const& kv, int i, int kv_head) {
  return row_of(kv, kv.key_pages, i, kv_head);
}
template <class Element>
LOOPSERVE_DEVICE Element const* value(kv_view<Element> const& kv, int i, int kv_head) {
  return row_of(kv, kv.value_pages, i, kv_head);
}
template <class Element>
LOOPSERVE_DEVICE int length(kv_view<Element> const& kv, int kv_head) {
  return kv.lengths != nullptr ? load(kv.lengths + kv_head) : kv.tokens;
}
template <class Element>
LOOPSERVE_DEVICE int position(kv_view<Element> const& kv, int i, int kv_head) {
  return kv.positions != nullptr ? load(kv.positions + kv_head * kv.positions_stride + kv.first + i) : kv.first + i;
}

}  // namespace loopserve::dev
