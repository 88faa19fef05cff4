// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include <CLI/CLI.hpp>

namespace programs {

/// What a flag's number must be. A refusal says it in words, with what was found; the flag's name comes in front. NaN is never right.
template <class Number>
class number_check : public CLI::Validator {
 public:
  number_check(std::string expected, std::function<bool(Number)> right) : CLI::Validator(expected) {
    func_ = [expected = std::move(expected), right = std::move(right)](std::string const& text) -> std::string {
      Number x{};
      char const* const end = text.data() + text.size();
      auto const [stop, failure] = std::from_chars(text.data(), end, x);
      bool const number = failure == std::errc() && stop == end && x == x;
      return number && right(x) ? std::string() : "expected " + expected + ", found " + (text.empty() ? "nothing" : text);
    };
  }
};

inline auto above_zero() {
  return number_check<double>("a number above 0", [](double x) { return x > 0 && std::isfinite(x); });
}
inline auto not_negative() {
  return number_check<double>("a number of 0 or more", [](double x) { return x >= 0 && std::isfinite(x); });
}
/// `low` itself is right only where `with_low`.
inline auto share(double low = 0, double high = 1, bool with_low = true) {
  auto const text = [](double x) { return x == 0 ? std::string("0") : x == 1 ? std::string("1") : std::to_string(x); };
  return number_check<double>(with_low ? "a number from " + text(low) + " to " + text(high) : "a number above " + text(low) + " and up to " + text(high),
                              [=](double x) { return (with_low ? x >= low : x > low) && x <= high; });
}
inline auto whole_from(std::int64_t low, std::int64_t high = std::numeric_limits<int>::max()) {
  return number_check<std::int64_t>("a whole number from " + std::to_string(low) + " to " + std::to_string(high), [=](std::int64_t x) { return x >= low && x <= high; });
}

}  // namespace programs
