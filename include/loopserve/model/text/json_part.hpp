// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include <loopserve/core/error.hpp>

namespace loopserve::detail {

/// Throws `format_error` naming the file where it cannot be read.
[[gnu::cold]] inline std::string read_text_file(std::filesystem::path const& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  if (in) { text.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()); }
  if (!in && !in.eof()) { throw format_error(path.string() + ": cannot be read"); }
  return text;
}

/// Throws `format_error` with file and offset for what is not JSON in UTF-8.
[[gnu::cold]] inline nlohmann::json parse_json(std::string_view text, std::string const& where) {
  try {
    return nlohmann::json::parse(text.begin(), text.end());
  } catch (nlohmann::json::parse_error const& e) {
    throw format_error(where + ": offset " + std::to_string(e.byte > 0 ? e.byte - 1 : 0) + ": expected JSON in UTF-8; " + e.what());
  } catch (nlohmann::json::exception const& e) {  // a number beyond a double's range is no parse_error
    throw format_error(where + ": expected JSON in UTF-8 with numbers in range; " + e.what());
  }
}

/// A value inside a JSON file with the way to it, for errors that name both. A missing member and null are the same.
class json_part {
 public:
  [[gnu::cold, gnu::noinline]] json_part(nlohmann::json const& value, std::string file) : value_(&value), file_(std::move(file)) {}
  // Out of line: they stand at a hundred places that run once.
  [[gnu::cold, gnu::noinline]] json_part(json_part const& other) : value_(other.value_), file_(other.file_), way_(other.way_) {}
  json_part& operator=(json_part const&) = delete;
  [[gnu::cold, gnu::noinline]] ~json_part() {}

  bool missing() const { return value_->is_null(); }
  nlohmann::json const& value() const { return *value_; }

  [[gnu::cold]] json_part operator[](char const* key) const {
    static nlohmann::json const null;
    if (!missing()) { expect(value_->is_object(), "an object"); }
    auto const* found = &null;
    if (!missing()) {
      if (auto const it = value_->find(key); it != value_->end()) { found = &*it; }
    }
    return {*found, file_, way_.empty() ? std::string(key) : way_ + "." + key};
  }

  /// Calls `each(part)` for the elements of a list.
  template <class Each>
  void for_each(Each&& each) const {
    expect(value_->is_array(), "a list");
    std::size_t i = 0;
    for (auto const& element : *value_) { each(json_part(element, file_, way_ + "[" + std::to_string(i++) + "]")); }
  }

  [[gnu::cold]] std::string const& text() const {
    expect(value_->is_string(), "a string");
    return value_->template get_ref<std::string const&>();
  }
  [[gnu::cold]] std::string text_or(std::string const& otherwise) const { return missing() ? otherwise : text(); }

  [[gnu::cold]] std::int64_t integer() const {
    expect(value_->is_number_integer(), "an integer");
    return value_->template get<std::int64_t>();
  }

  [[gnu::cold]] bool flag_or(bool otherwise) const {
    if (missing()) { return otherwise; }
    expect(value_->is_boolean(), "true or false");
    return value_->template get<bool>();
  }

  [[gnu::cold]] void expect(bool ok, std::string const& what) const {
    if (!ok) { fail("expected " + what + ", found " + shortened()); }
  }

  [[gnu::cold]] [[noreturn]] void fail(std::string const& sentence) const { throw format_error(file_ + ": " + (way_.empty() ? "" : way_ + ": ") + sentence); }

  std::string const& file() const { return file_; }

 private:
  json_part(nlohmann::json const& value, std::string file, std::string way) : value_(&value), file_(std::move(file)), way_(std::move(way)) {}

  [[gnu::cold]] std::string shortened() const {
    if (value_->is_null()) { return "nothing"; }
    if (value_->is_structured()) { return value_->is_array() ? "a list" : "an object"; }
    auto text = value_->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    return text.size() > 60 ? text.substr(0, 60) + "..." : text;
  }

  nlohmann::json const* value_;
  std::string file_;
  std::string way_;
};

}  // namespace loopserve::detail
