// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/json_value.hpp>
#include <loopserve/model/mapped_file.hpp>
#include <loopserve/model/parse_json.hpp>

namespace loopserve {

/// A JSON file whose top is an object, with access that checks types. null counts as absent.
class json_file {
 public:
  static json_file open(std::string const& path) {
    mapped_file const file(path);
    auto const bytes = file.bytes();
    return json_file(parse_json({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, {.file = path, .unique_keys = true}), path);
  }

  json_file(json_value value, std::string file, std::string place = {}) : value_(std::move(value)), file_(std::move(file)), place_(std::move(place)) {
    if (!value_.is_object()) { bad_file(file_, place_.empty() ? "its content" : in_quotes(place_), "a JSON object", value_.type_name()); }
  }

  std::string const& file() const { return file_; }
  json_value const& value() const { return value_; }
  bool has(std::string_view key) const { return !value_[key].is_null(); }

  json_value at(std::string_view key) const {
    if (!has(key)) { bad_file(file_, name(key), "a value", "none"); }
    return value_[key];
  }

  /// A whole number of [least, most].
  std::int64_t integer(std::string_view key, std::int64_t least = std::numeric_limits<std::int32_t>::min(),
                       std::int64_t most = std::numeric_limits<std::int32_t>::max()) const {
    auto const v = at(key).integer();
    if (!v || *v < least || *v > most) { wrong(key, "a whole number from " + std::to_string(least) + " to " + std::to_string(most)); }
    return *v;
  }
  double number(std::string_view key) const {
    if (!at(key).is_number()) { wrong(key, "a number"); }
    return at(key).number();
  }
  /// A number above zero.
  double positive(std::string_view key) const {
    auto const v = number(key);
    if (!(v > 0)) { wrong(key, "a number above 0"); }
    return v;
  }
  bool boolean(std::string_view key) const {
    if (!at(key).is_boolean()) { wrong(key, "true or false"); }
    return at(key).boolean();
  }
  std::string string(std::string_view key) const {
    if (!at(key).is_string()) { wrong(key, "a string"); }
    return at(key).text();
  }
  json_file object(std::string_view key) const { return json_file(at(key), file_, way(key)); }

  bool boolean_or(std::string_view key, bool otherwise) const { return has(key) ? boolean(key) : otherwise; }
  double number_or(std::string_view key, double otherwise) const { return has(key) ? number(key) : otherwise; }
  std::string string_or(std::string_view key, std::string otherwise) const { return has(key) ? string(key) : otherwise; }

  [[noreturn]] void wrong(std::string_view key, std::string_view expected) const {
    bad_file(file_, name(key), expected, has(key) ? shown(at(key).written()) : "none");
  }

 private:
  std::string way(std::string_view key) const { return (place_.empty() ? "" : place_ + ".").append(key); }
  std::string name(std::string_view key) const { return in_quotes(way(key)); }

  json_value value_;
  std::string file_;
  std::string place_;  ///< of an object inside the file, "" for the file's own
};

}  // namespace loopserve
