// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/core/buffer.hpp>
#include <loopserve/core/element.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// A tensor as a file lists it. It may be of a type that cannot be computed with; only whoever asks for its numbers is refused.
struct tensor_entry {
  std::string name;                      ///< as the file has it
  std::string type_name;                 ///< in lower case: "bf16", "q4_k", "i64"
  std::optional<element_type> type;      ///< empty: not one that can be computed with
  std::vector<index_t> shape;            ///< slowest axis first
  std::string file;
  index_t offset = 0;                    ///< of its first byte in the file
  index_t bytes = 0;
  unsigned char const* data = nullptr;   ///< aligned for its elements
};

/// Copies the tensor to memory that `keepers` then owns, where its bytes in the file are not aligned for its elements.
inline void align_tensor(tensor_entry& tensor, std::vector<std::shared_ptr<void const>>& keepers) {
  if (!tensor.type || tensor.bytes == 0) { return; }
  auto const step = *tensor.type == element_type::f32 ? 4u : *tensor.type == element_type::q8_0 ? 1u : 2u;
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % step == 0) { return; }
  auto copy = std::make_shared<host_buffer<unsigned char>>(tensor.bytes);
  std::memcpy(copy->data(), tensor.data, static_cast<std::size_t>(tensor.bytes));
  tensor.data = copy->data();
  keepers.push_back(std::move(copy));
}

/// Pointers to the tensors in the order of their bytes.
inline std::vector<tensor_entry*> by_offset(std::vector<tensor_entry>& tensors) {
  std::vector<tensor_entry*> out;
  for (auto& tensor : tensors) { out.push_back(&tensor); }
  std::sort(out.begin(), out.end(), [](auto const* a, auto const* b) { return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes); });
  return out;
}

/// "(512, 64)"
inline std::string shape_text(std::vector<index_t> const& shape) {
  std::string out = "(";
  for (auto e : shape) {
    if (out.size() > 1) { out += ", "; }
    out += std::to_string(e);
  }
  out += ")";
  return out;
}

}  // namespace loopserve
