// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <charconv>
#include <string>
#include <string_view>

#include <loopserve/core/error.hpp>
#include <loopserve/model/model.hpp>

namespace bench {

/// "110m", "430m", or LAYERSxDIMxHEADSxKVxHEADDIMxFF; the vocabulary is 32,000. Throws error where the text is none of these.
inline loopserve::model_shape parse_shape(std::string_view text) {
  auto const refuse = [&]() -> loopserve::error {
    return loopserve::error("--shape: expected 110m, 430m or LAYERSxDIMxHEADSxKVxHEADDIMxFF with positive numbers, heads a multiple of KV heads and an even head_dim, found '" +
                            std::string(text) + "'");
  };
  if (text == "110m") { return parse_shape("12x768x12x4x64x2048"); }
  if (text == "430m") { return parse_shape("24x1024x16x4x64x4096"); }
  std::array<int, 6> numbers{};
  auto const* at = text.data();
  auto const* const end = text.data() + text.size();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0 && (at == end || *at++ != 'x')) { throw refuse(); }
    auto const [next, failed] = std::from_chars(at, end, numbers[i]);
    if (failed != std::errc{} || numbers[i] <= 0) { throw refuse(); }
    at = next;
  }
  if (at != end || numbers[2] % numbers[3] != 0 || numbers[4] % 2 != 0) { throw refuse(); }
  loopserve::model_shape shape;
  shape.layers = numbers[0];
  shape.width = numbers[1];
  shape.heads = numbers[2];
  shape.kv_heads = numbers[3];
  shape.head_dim = numbers[4];
  shape.feed_forward = numbers[5];
  shape.vocabulary = 32000;
  shape.max_context = 1 << 20;
  return shape;
}

}  // namespace bench
