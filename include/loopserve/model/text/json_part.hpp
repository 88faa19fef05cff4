// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <loopserve/core/error.hpp>
#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/json_value.hpp>
#include <loopserve/model/mapped_file.hpp>

namespace loopserve::detail {

/// Throws `format_error` naming the file where it cannot be read.
[[gnu::cold]] inline std::string read_text_file(std::filesystem::path const& path) {
  mapped_file const file(path.string());
  auto const bytes = file.bytes();
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

/// A value inside a JSON file with the way to it, for errors that name both. A missing member and null are the same.
class json_part {
 public:
  [[gnu::cold, gnu::noinline]] json_part(json_value value, std::string file) : value_(std::move(value)), file_(std::move(file)) {}
  // Out of line: they stand at a hundred places that run once.
  [[gnu::cold, gnu::noinline]] json_part(json_part const& other) : value_(other.value_), file_(other.file_), way_(other.way_) {}
  json_part& operator=(json_part const&) = delete;
  [[gnu::cold, gnu::noinline]] ~json_part() {}

  bool missing() const { return value_.is_null(); }
  json_value const& value() const { return value_; }

  [[gnu::cold]] json_part operator[](char const* key) const {
    if (!missing()) { expect(value_.is_object(), "an object"); }
    return {value_[key], file_, way_.empty() ? std::string(key) : way_ + "." + key};
  }

  /// Calls `each(part)` for the elements of a list.
  template <class Each>
  void for_each(Each&& each) const {
    expect(value_.is_array(), "a list");
    std::size_t i = 0;
    for (auto const& element : value_.items()) { each(json_part(element, file_, way_ + "[" + std::to_string(i++) + "]")); }
  }

  [[gnu::cold]] std::string text() const {
    expect(value_.is_string(), "a string");
    return value_.text();
  }
  [[gnu::cold]] std::string text_or(std::string const& otherwise) const { return missing() ? otherwise : text(); }

  [[gnu::cold]] std::int64_t integer() const {
    expect(value_.integer().has_value(), "an integer");
    return *value_.integer();
  }

  [[gnu::cold]] bool flag_or(bool otherwise) const {
    if (missing()) { return otherwise; }
    expect(value_.is_boolean(), "true or false");
    return value_.boolean();
  }

  [[gnu::cold]] void expect(bool ok, std::string const& what) const {
    if (!ok) { fail("expected " + what + ", found " + shortened()); }
  }

  [[gnu::cold]] [[noreturn]] void fail(std::string const& sentence) const { throw format_error(file_ + ": " + (way_.empty() ? "" : way_ + ": ") + sentence); }

  std::string const& file() const { return file_; }

 private:
  json_part(json_value value, std::string file, std::string way) : value_(std::move(value)), file_(std::move(file)), way_(std::move(way)) {}

  [[gnu::cold]] std::string shortened() const {
    if (value_.is_null()) { return "nothing"; }
    return value_.is_array() ? "a list" : value_.is_object() ? "an object" : shown(value_.written(), 60);
  }

  json_value value_;
  std::string file_;
  std::string way_;
};

}  // namespace loopserve::detail
