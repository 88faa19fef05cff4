// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <jansson.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace loopserve {

/// A JSON value as Jansson holds it. Nothing changes it, so copies share what is inside; one that was never given a value is null.
class json_value {
 public:
  json_value() = default;
  /// Takes over one reference.
  explicit json_value(json_t* owned) : value_(owned, json_decref) {}

  bool is_null() const { return !value_ || json_is_null(value_.get()); }
  bool is_boolean() const { return json_is_boolean(value_.get()); }
  bool is_number() const { return json_is_number(value_.get()); }
  bool is_string() const { return json_is_string(value_.get()); }
  bool is_array() const { return json_is_array(value_.get()); }
  bool is_object() const { return json_is_object(value_.get()); }
  char const* type_name() const {
    return is_null() ? "null" : is_boolean() ? "boolean" : is_number() ? "number" : is_string() ? "string" : is_array() ? "array" : "object";
  }

  // What is inside; of a value of another type false, 0 or nothing.
  bool boolean() const { return json_is_true(value_.get()); }
  double number() const { return json_number_value(value_.get()); }
  std::string text() const { return is_string() ? std::string(json_string_value(value_.get()), json_string_length(value_.get())) : std::string(); }
  bool is_text(std::string_view text) const { return is_string() && text == this->text(); }

  /// A whole number of 64 bits, be it written with a point or an exponent.
  std::optional<std::int64_t> integer() const {
    if (json_is_integer(value_.get())) { return json_integer_value(value_.get()); }
    double const real = number();
    if (!is_number() || real != std::trunc(real) || std::fabs(real) > 0x1p53) { return std::nullopt; }
    return static_cast<std::int64_t>(real);
  }

  std::vector<json_value> items() const {
    std::vector<json_value> out;
    for (std::size_t i = 0; i < json_array_size(value_.get()); ++i) { out.push_back(share(json_array_get(value_.get(), i))); }
    return out;
  }

  /// Keys and values, in the order of the file.
  std::vector<std::pair<std::string, json_value>> members() const {
    std::vector<std::pair<std::string, json_value>> out;
    for (void* at = json_object_iter(value_.get()); at != nullptr; at = json_object_iter_next(value_.get(), at)) {
      out.emplace_back(json_object_iter_key(at), share(json_object_iter_value(at)));
    }
    return out;
  }

  bool has(std::string_view key) const { return json_object_get(value_.get(), std::string(key).c_str()) != nullptr; }
  /// The member of that key; null where there is none.
  json_value operator[](std::string_view key) const { return share(json_object_get(value_.get(), std::string(key).c_str())); }

  /// As JSON on one line.
  std::string written() const {
    if (!value_) { return "null"; }
    std::unique_ptr<char, decltype(&std::free)> const text(json_dumps(value_.get(), JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15)), std::free);
    return text ? text.get() : "";
  }

 private:
  static json_value share(json_t* borrowed) { return borrowed != nullptr ? json_value(json_incref(borrowed)) : json_value(); }

  std::shared_ptr<json_t> value_;
};

}  // namespace loopserve
