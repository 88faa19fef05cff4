// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/gguf_value.hpp>

namespace loopserve {

/// Walks over the bytes of a GGUF file; every step is checked against what is left before it is taken.
class gguf_reader {
 public:
  gguf_reader(std::span<unsigned char const> bytes, std::string const& file) : bytes_(bytes), file_(&file) {}

  std::uint64_t offset() const { return at_; }
  std::uint64_t left() const { return bytes_.size() - at_; }

  template <class T>
  T number(std::string const& what) {
    return gguf_value::load<T>(take(sizeof(T), what).data());
  }

  std::span<unsigned char const> take(std::uint64_t count, std::string const& what) {
    if (count > left()) {
      bad_file_at(*file_, at_, what, std::to_string(count) + " bytes", std::to_string(left()) + " bytes before the end of the file");
    }
    auto const part = bytes_.subspan(at_, count);
    at_ += count;
    return part;
  }

  std::string_view string(std::string const& what, std::uint64_t longest) {
    auto const start = at_;
    auto const length = number<std::uint64_t>("the length of " + what);
    if (length > longest) {
      bad_file_at(*file_, start, "the length of " + what, "at most " + std::to_string(longest) + " bytes", std::to_string(length));
    }
    auto const part = take(length, what);
    return {reinterpret_cast<char const*>(part.data()), part.size()};
  }

  /// A number of things of which each takes at least `smallest` bytes, so that nothing is allocated for more than the file can hold.
  std::uint64_t count(std::string const& what, std::uint64_t smallest) {
    auto const start = at_;
    auto const n = number<std::uint64_t>(what);
    if (n > left() / smallest) {
      bad_file_at(*file_, start, what, "at most " + std::to_string(left() / smallest) + ", what the file has room for", std::to_string(n));
    }
    return n;
  }

  gguf_type type(std::string const& what) {
    auto const start = at_;
    auto const number_of_type = number<std::uint32_t>(what);
    if (number_of_type >= gguf_type_count) { bad_file_at(*file_, start, what, "a value type below 13", std::to_string(number_of_type)); }
    return static_cast<gguf_type>(number_of_type);
  }

  /// A value of type `t`; `what` names its key in messages.
  gguf_value value(gguf_type t, std::string const& what, int depth = 0) {
    gguf_value v;
    v.type = t;
    if (t == gguf_type::string) {
      auto const text = string(what, longest_text);
      v.bytes = {reinterpret_cast<unsigned char const*>(text.data()), text.size()};
    } else if (t == gguf_type::array) {
      if (depth == deepest_array) { bad_file_at(*file_, at_, what, "arrays nested at most " + std::to_string(deepest_array) + " deep", "a deeper one"); }
      v.element = type("the element type of " + what);
      auto const size = gguf_size_of(v.element);
      v.count = count("the length of array " + what, size > 0 ? size : v.element == gguf_type::string ? 8 : 12);
      auto const start = at_;
      if (size > 0) {
        take(v.count * size, what);
      } else {
        for (std::uint64_t i = 0; i < v.count; ++i) { value(v.element, what, depth + 1); }
      }
      v.bytes = bytes_.subspan(start, at_ - start);
    } else {
      v.bytes = take(gguf_size_of(t), what);
    }
    return v;
  }

 private:
  static constexpr int deepest_array = 4;
  static constexpr std::uint64_t longest_text = std::uint64_t{1} << 30;

  std::span<unsigned char const> bytes_;
  std::string const* file_;
  std::uint64_t at_ = 0;
};

}  // namespace loopserve
