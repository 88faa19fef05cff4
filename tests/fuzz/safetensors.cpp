// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <loopserve/core/error.hpp>
#include <loopserve/core/weight_view.hpp>
#include <loopserve/model/check_finite.hpp>
#include <loopserve/model/safetensors.hpp>

/// Any bytes are a file whose tensors can be read to the last number, or a format_error.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace loopserve;
  try {
    auto const file = safetensors::parse({data, size}, "fuzz");
    index_t sum = 0;
    for (auto const& t : file.tensors()) {
      for (index_t i = 0; i < t.bytes; ++i) { sum += t.data[i]; }
      if (t.offset < 0 || t.offset + t.bytes > static_cast<index_t>(size)) { std::abort(); }
    }
    check_finite(file.tensors(), 1);
    if (sum < 0) { std::abort(); }
  } catch (format_error const&) {
  }
  return 0;
}
