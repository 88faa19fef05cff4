// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <loopserve/core/error.hpp>
#include <loopserve/model/check_finite.hpp>
#include <loopserve/model/gguf.hpp>
#include <loopserve/model/gguf_config.hpp>

namespace {

using namespace loopserve;

/// Touches every byte that a value views.
index_t sum_of(gguf const& file, gguf_value const& v) {
  index_t sum = 0;
  if (v.type == gguf_type::array) {
    for (auto const& element : file.elements(v)) { sum += sum_of(file, element); }
  } else {
    for (auto b : v.bytes) { sum += b; }
  }
  return sum;
}

}  // namespace

/// Any bytes are a file whose keys and tensors can be read to the last number, or a format_error.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  try {
    auto const file = gguf::parse({data, size}, "fuzz");
    index_t sum = 0;
    for (auto const& key : file.keys()) {
      auto const& v = file.value(key);
      sum += sum_of(file, v);
      if (v.type == gguf_type::array && v.element == gguf_type::string) { sum += static_cast<index_t>(file.strings(key).size()); }
      if (v.type == gguf_type::array && v.element == gguf_type::f32) { sum += static_cast<index_t>(file.numbers(key).size()); }
    }
    for (auto const& t : file.tensors()) {
      for (index_t i = 0; i < t.bytes; ++i) { sum += t.data[i]; }
    }
    if (sum < 0) { std::abort(); }
    check_finite(file.tensors(), 1);
    read_model_config(file);
  } catch (format_error const&) {
  }
  return 0;
}
