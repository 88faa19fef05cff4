// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/gguf_reader.hpp>
#include <loopserve/model/gguf_tensor_type.hpp>
#include <loopserve/model/gguf_value.hpp>
#include <loopserve/model/mapped_file.hpp>
#include <loopserve/model/tensor_entry.hpp>

namespace loopserve {

static_assert(std::endian::native == std::endian::little, "model files are little-endian and are used as they lie");

/// A GGUF file of version 2 or 3: metadata by key and the list of tensors. Files of any architecture open, also those that hold a vocabulary alone.
/// Everything is checked at the start; texts and arrays stay in the file. Copies are cheap enough and share the file.
/// Source: the GGUF specification in ggml's docs/gguf.md.
class gguf {
 public:
  /// Maps the file at `path`. Throws format_error.
  static gguf open(std::string const& path) {
    auto file = std::make_shared<mapped_file>(path);
    auto const bytes = file->bytes();
    return {bytes, path, std::move(file)};
  }

  /// Reads bytes that outlive the object; `name` stands for the file in messages.
  static gguf parse(std::span<unsigned char const> bytes, std::string name) { return {bytes, std::move(name), nullptr}; }

  std::string const& file() const { return file_; }
  std::uint32_t version() const { return version_; }
  std::vector<std::string> const& keys() const { return keys_; }  ///< in the file's order
  std::vector<tensor_entry> const& tensors() const { return tensors_; }
  std::shared_ptr<void const> keeper() const { return keeper_; }  ///< of the memory that the tensors lie in

  /// Null where there is none of that name.
  tensor_entry const* find_tensor(std::string_view name) const {
    auto const found = tensor_index_.find(name);
    return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
  }

  bool has(std::string_view key) const { return values_.count(key) != 0; }

  gguf_value const& value(std::string_view key) const {
    auto const found = values_.find(key);
    if (found == values_.end()) { wrong(key, "a value", "no such key"); }
    return found->second;
  }

  // Typed access. Each throws format_error naming the key, the expected type and the found one; `_or` takes its default where the key is absent only.
  std::int64_t integer(std::string_view key) const {
    auto const& v = value(key);
    if (!is_integer(v.type)) { wrong_type(key, "an integer", v); }
    return small_enough(key, v.type, v.bytes.data());
  }
  double number(std::string_view key) const {
    auto const& v = value(key);
    if (!is_integer(v.type) && v.type != gguf_type::f32 && v.type != gguf_type::f64) { wrong_type(key, "a number", v); }
    return gguf_value::number<double>(v.type, v.bytes.data());
  }
  bool boolean(std::string_view key) const {
    auto const& v = value(key);
    if (v.type != gguf_type::boolean) { wrong_type(key, "bool", v); }
    return v.bytes[0] != 0;
  }
  std::string_view string(std::string_view key) const {
    auto const& v = value(key);
    if (v.type != gguf_type::string) { wrong_type(key, "string", v); }
    return v.text();
  }
  std::int64_t integer_or(std::string_view key, std::int64_t otherwise) const { return has(key) ? integer(key) : otherwise; }
  double number_or(std::string_view key, double otherwise) const { return has(key) ? number(key) : otherwise; }
  bool boolean_or(std::string_view key, bool otherwise) const { return has(key) ? boolean(key) : otherwise; }
  std::string_view string_or(std::string_view key, std::string_view otherwise) const { return has(key) ? string(key) : otherwise; }

  /// An array of strings, as views of the file.
  std::vector<std::string_view> strings(std::string_view key) const {
    std::vector<std::string_view> out;
    auto const& v = array(key, "an array of strings");
    if (v.count > 0 && v.element != gguf_type::string) { wrong_type(key, "an array of strings", v); }
    out.reserve(v.count);
    for (auto const& element : elements(v)) { out.push_back(element.text()); }
    return out;
  }
  /// An array of any integer type.
  std::vector<std::int64_t> integers(std::string_view key) const {
    auto const& v = array(key, "an array of integers");
    if (!is_integer(v.element)) { wrong_type(key, "an array of integers", v); }
    std::vector<std::int64_t> out(v.count);
    for (std::uint64_t i = 0; i < v.count; ++i) { out[i] = small_enough(key, v.element, v.bytes.data() + i * gguf_size_of(v.element)); }
    return out;
  }
  /// An array of any numeric type.
  std::vector<double> numbers(std::string_view key) const {
    auto const& v = array(key, "an array of numbers");
    if (!is_integer(v.element) && v.element != gguf_type::f32 && v.element != gguf_type::f64) { wrong_type(key, "an array of numbers", v); }
    std::vector<double> out(v.count);
    for (std::uint64_t i = 0; i < v.count; ++i) { out[i] = gguf_value::number<double>(v.element, v.bytes.data() + i * gguf_size_of(v.element)); }
    return out;
  }

  /// The elements of any array value, arrays of arrays included.
  std::vector<gguf_value> elements(gguf_value const& v) const {
    std::vector<gguf_value> out;
    gguf_reader reader(v.bytes, file_);
    for (std::uint64_t i = 0; i < v.count; ++i) { out.push_back(reader.value(v.element, "an array's element")); }
    return out;
  }

  /// Throws format_error that names the key.
  [[noreturn]] void wrong(std::string_view key, std::string_view expected, std::string_view found) const {
    bad_file(file_, "metadata key " + in_quotes(key), expected, found);
  }

  /// "u32", "array of 512 string"
  static std::string type_text(gguf_value const& v) {
    return v.type == gguf_type::array ? "array of " + std::to_string(v.count) + " " + name_of(v.element) : name_of(v.type);
  }

 private:
  gguf(std::span<unsigned char const> bytes, std::string file, std::shared_ptr<void const> keeper) : file_(std::move(file)) {
    std::vector<std::shared_ptr<void const>> keepers = {std::move(keeper)};
    gguf_reader reader(bytes, file_);
    read_header(reader);
    auto const tensor_count = reader.count("the number of tensors", 24);
    auto const key_count = reader.count("the number of metadata keys", 13);
    for (std::uint64_t i = 0; i < key_count; ++i) { read_key(reader); }
    for (std::uint64_t i = 0; i < tensor_count; ++i) { read_tensor(reader); }
    place_tensors(bytes, reader.offset());
    for (auto& tensor : tensors_) { align_tensor(tensor, keepers); }
    keeper_ = std::make_shared<std::vector<std::shared_ptr<void const>>>(std::move(keepers));
  }

  void read_header(gguf_reader& reader) {
    auto const magic = reader.take(4, "the magic");
    if (std::string_view(reinterpret_cast<char const*>(magic.data()), 4) != "GGUF") {
      bad_file_at(file_, 0, "the magic", "'GGUF'", in_quotes({reinterpret_cast<char const*>(magic.data()), magic.size()}));
    }
    version_ = reader.number<std::uint32_t>("the version");
    if (version_ != 0 && (version_ & 0xffff) == 0) { bad_file_at(file_, 4, "the version", "a little-endian file of version 2 or 3", "a big-endian file"); }
    if (version_ != 2 && version_ != 3) { bad_file_at(file_, 4, "the version", "2 or 3", std::to_string(version_)); }
  }

  void read_key(gguf_reader& reader) {
    auto const at = reader.offset();
    auto const key = std::string(reader.string("metadata key " + std::to_string(keys_.size()), 65535));
    auto const what = "metadata key '" + shown(key) + "'";
    auto const type = reader.type("the type of " + what);
    if (!values_.emplace(key, reader.value(type, what)).second) { bad_file_at(file_, at, what, "every key once", "a second one"); }
    keys_.push_back(key);
  }

  void read_tensor(gguf_reader& reader) {
    auto const at = reader.offset();
    tensor_entry t;
    t.name = std::string(reader.string("the name of tensor " + std::to_string(tensors_.size()), 1024));
    t.file = file_;
    auto const what = "tensor '" + shown(t.name) + "'";
    auto const rank = reader.number<std::uint32_t>("the rank of " + what);
    if (rank < 1 || rank > 4) { bad_file_at(file_, at, what, "1 to 4 axes", std::to_string(rank)); }
    std::uint64_t elements = 1;
    for (std::uint32_t axis = 0; axis < rank; ++axis) {
      auto const extent = reader.number<std::uint64_t>("the shape of " + what);
      if (extent > largest || (extent != 0 && elements > largest / extent)) { bad_file_at(file_, at, what, "a size of at most 2^56 elements", "a larger one"); }
      elements *= extent;
      t.shape.insert(t.shape.begin(), static_cast<index_t>(extent));
    }
    auto const number = reader.number<std::uint32_t>("the type of " + what);
    auto const relative = reader.number<std::uint64_t>("the offset of " + what);
    if (relative > largest) { bad_file_at(file_, at, what, "an offset inside the file", std::to_string(relative)); }
    t.offset = static_cast<index_t>(relative);
    if (auto const* type = find_gguf_tensor_type(number)) {
      if (static_cast<std::uint64_t>(t.shape.back()) % type->block != 0) {
        bad_file_at(file_, at, what, std::string("rows of a multiple of ") + std::to_string(type->block) + " elements for " + type->name,
                    std::to_string(t.shape.back()) + (type->element ? "" : " (a type that is not supported in any case)"));
      }
      t.type_name = type->name;
      t.type = type->element;
      t.bytes = static_cast<index_t>(elements / type->block * type->block_bytes);
    } else {
      t.type_name = "type " + std::to_string(number);
    }
    if (!tensor_index_.emplace(t.name, tensors_.size()).second) { bad_file_at(file_, at, what, "every tensor once", "a second one"); }
    tensors_.push_back(std::move(t));
  }

  /// Turns offsets into the data section, which starts at the next aligned byte after `header`, into offsets into the file and pointers.
  void place_tensors(std::span<unsigned char const> bytes, std::uint64_t header) {
    auto const step = integer_or("general.alignment", 32);
    if (step < 8 || step > (1 << 20) || (step & (step - 1)) != 0) {
      wrong("general.alignment", "a power of two from 8 to 1048576", std::to_string(step));
    }
    auto const start = static_cast<index_t>((header + step - 1) / step * step);
    auto const end = static_cast<index_t>(bytes.size());
    for (auto& t : tensors_) {
      auto const what = "tensor '" + shown(t.name) + "'";
      if (t.offset % step != 0) { bad_file(file_, what, "an offset that is a multiple of " + std::to_string(step), std::to_string(t.offset)); }
      t.offset += start;
      if (t.offset > end || t.bytes > end - t.offset) {
        bad_file_at(file_, static_cast<std::uint64_t>(t.offset), what, std::to_string(t.bytes) + " bytes of " + t.type_name + " " + shape_text(t.shape),
                    "the end of the file at " + std::to_string(end));
      }
      t.data = bytes.data() + t.offset;
    }
    auto const sorted = by_offset(tensors_);
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      auto const& before = *sorted[i - 1];
      if (before.offset + before.bytes > sorted[i]->offset) {
        bad_file_at(file_, static_cast<std::uint64_t>(sorted[i]->offset), "tensor '" + shown(sorted[i]->name) + "'", "bytes of its own",
                    "bytes that tensor '" + shown(before.name) + "' has too");
      }
    }
  }

  gguf_value const& array(std::string_view key, char const* expected) const {
    auto const& v = value(key);
    if (v.type != gguf_type::array) { wrong_type(key, expected, v); }
    return v;
  }

  [[noreturn]] void wrong_type(std::string_view key, std::string_view expected, gguf_value const& v) const {
    wrong(key, expected, type_text(v));
  }

  std::int64_t small_enough(std::string_view key, gguf_type type, unsigned char const* p) const {
    if (type == gguf_type::u64 && gguf_value::load<std::uint64_t>(p) > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      wrong(key, "an integer below 2^63", std::to_string(gguf_value::load<std::uint64_t>(p)));
    }
    return gguf_value::number<std::int64_t>(type, p);
  }

  static constexpr std::uint64_t largest = std::uint64_t{1} << 56;  // bytes and elements stay far from 64 bits' end

  std::string file_;
  std::uint32_t version_ = 0;
  std::vector<std::string> keys_;
  std::map<std::string, gguf_value, std::less<>> values_;
  std::vector<tensor_entry> tensors_;
  std::map<std::string, std::size_t, std::less<>> tensor_index_;
  std::shared_ptr<void const> keeper_;
};

}  // namespace loopserve
