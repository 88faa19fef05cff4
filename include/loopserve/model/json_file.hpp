// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/mapped_file.hpp>

namespace loopserve {

/// Parses `text`, which stands in `file` from byte `start` on. Throws format_error for what is no JSON, is nested deeper than `deepest`, or has a key of one object twice.
inline nlohmann::json parse_json(std::string_view text, std::string const& file, std::uint64_t start = 0, int deepest = 64) {
  using json = nlohmann::json;
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  auto const watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      if (depth >= deepest) { bad_file(file, "its JSON", "nesting of at most " + std::to_string(deepest) + " levels", "more"); }
      keys.emplace_back();
    } else if (event == json::parse_event_t::object_end || event == json::parse_event_t::array_end) {
      keys.pop_back();
    } else if (event == json::parse_event_t::key && !keys.back().insert(parsed.get_ref<std::string const&>()).second) {
      bad_file(file, "its JSON", "every key of an object once", in_quotes(parsed.get_ref<std::string const&>()) + " twice");
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (json::parse_error const& e) {
    bad_file_at(file, start + (e.byte > 0 ? e.byte - 1 : 0), "its JSON", "JSON in UTF-8", shown(e.what(), 240));
  } catch (json::exception const& e) {
    bad_file(file, "its JSON", "JSON with numbers that fit", shown(e.what(), 240));
  }
}

/// A JSON file whose top is an object, with access that checks types. null counts as absent.
class json_file {
 public:
  static json_file open(std::string const& path) {
    mapped_file const file(path);
    auto const bytes = file.bytes();
    return json_file(parse_json({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, path), path);
  }

  json_file(nlohmann::json value, std::string file, std::string place = {}) : value_(std::move(value)), file_(std::move(file)), place_(std::move(place)) {
    if (!value_.is_object()) { bad_file(file_, place_.empty() ? "its content" : in_quotes(place_), "a JSON object", value_.type_name()); }
  }

  std::string const& file() const { return file_; }
  nlohmann::json const& value() const { return value_; }
  bool has(std::string const& key) const { return value_.contains(key) && !value_[key].is_null(); }

  nlohmann::json const& at(std::string const& key) const {
    if (!has(key)) { bad_file(file_, name(key), "a value", "none"); }
    return value_[key];
  }

  /// A whole number of [least, most].
  std::int64_t integer(std::string const& key, std::int64_t least = std::numeric_limits<std::int32_t>::min(),
                       std::int64_t most = std::numeric_limits<std::int32_t>::max()) const {
    auto const& v = at(key);
    bool const fits = v.is_number_integer() && !(v.is_number_unsigned() && v.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) &&
                      v.get<std::int64_t>() >= least && v.get<std::int64_t>() <= most;
    if (!fits) { wrong(key, "a whole number from " + std::to_string(least) + " to " + std::to_string(most)); }
    return v.get<std::int64_t>();
  }
  double number(std::string const& key) const {
    if (!at(key).is_number() || !std::isfinite(at(key).get<double>())) { wrong(key, "a number"); }
    return at(key).get<double>();
  }
  /// A number above zero.
  double positive(std::string const& key) const {
    auto const v = number(key);
    if (!(v > 0)) { wrong(key, "a number above 0"); }
    return v;
  }
  bool boolean(std::string const& key) const {
    if (!at(key).is_boolean()) { wrong(key, "true or false"); }
    return at(key).get<bool>();
  }
  std::string string(std::string const& key) const {
    if (!at(key).is_string()) { wrong(key, "a string"); }
    return at(key).get<std::string>();
  }
  json_file object(std::string const& key) const { return json_file(at(key), file_, place_.empty() ? key : place_ + "." + key); }

  bool boolean_or(std::string const& key, bool otherwise) const { return has(key) ? boolean(key) : otherwise; }
  double number_or(std::string const& key, double otherwise) const { return has(key) ? number(key) : otherwise; }
  std::string string_or(std::string const& key, std::string otherwise) const { return has(key) ? string(key) : otherwise; }

  [[noreturn]] void wrong(std::string const& key, std::string const& expected) const {
    // A broken value may hold bytes that are no UTF-8; dump must not throw over them.
    auto const found = has(key) ? value_[key].dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) : std::string("none");
    bad_file(file_, name(key), expected, shown(found));
  }

 private:
  std::string name(std::string const& key) const { return in_quotes(place_.empty() ? key : place_ + "." + key); }

  nlohmann::json value_;
  std::string file_;
  std::string place_;  ///< of an object inside the file, "" for the file's own
};

}  // namespace loopserve
