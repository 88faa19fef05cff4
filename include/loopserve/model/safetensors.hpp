// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/model/bad_file.hpp>
#include <loopserve/model/json_value.hpp>
#include <loopserve/model/mapped_file.hpp>
#include <loopserve/model/parse_json.hpp>
#include <loopserve/model/tensor_entry.hpp>

namespace loopserve {

/// One safetensors file: 8 bytes of header length, a JSON header, the tensors' bytes without holes. Everything is checked at the start, nothing is
/// allocated for a size that the file only claims. Source: the format's description at github.com/huggingface/safetensors.
class safetensors {
 public:
  /// Maps the file at `path`. Throws format_error.
  static safetensors open(std::string const& path) {
    auto file = std::make_shared<mapped_file>(path);
    auto const bytes = file->bytes();
    return {bytes, path, std::move(file)};
  }

  /// Reads bytes that outlive the object; `name` stands for the file in messages.
  static safetensors parse(std::span<unsigned char const> bytes, std::string name) { return {bytes, std::move(name), nullptr}; }

  std::string const& file() const { return file_; }
  std::vector<tensor_entry> const& tensors() const { return tensors_; }                    ///< in the order of their bytes
  std::vector<std::shared_ptr<void const>> const& keepers() const { return keepers_; }  ///< of the memory that the tensors lie in

 private:
  safetensors(std::span<unsigned char const> bytes, std::string file, std::shared_ptr<void const> keeper) : file_(std::move(file)) {
    keepers_.push_back(std::move(keeper));
    std::uint64_t length = 0;
    if (bytes.size() < sizeof length) { bad_file_at(file_, 0, "the header's length", "8 bytes", std::to_string(bytes.size()) + " bytes"); }
    std::memcpy(&length, bytes.data(), sizeof length);
    auto const room = static_cast<std::uint64_t>(bytes.size()) - sizeof length;
    if (length > std::min(room, longest_header)) {
      bad_file_at(file_, 0, "the header's length", "at most " + std::to_string(std::min(room, longest_header)) + " bytes", std::to_string(length));
    }
    auto const header = parse_json({reinterpret_cast<char const*>(bytes.data()) + sizeof length, static_cast<std::size_t>(length)},
                                   {.file = file_, .start = sizeof length, .unique_keys = true});
    if (!header.is_object()) { bad_file_at(file_, sizeof length, "the header", "a JSON object", header.type_name()); }
    for (auto const& [name, value] : header.members()) {
      if (name != "__metadata__") { tensors_.push_back(read_tensor(name, value)); }
    }
    place_tensors(bytes.subspan(sizeof length + length), sizeof length + length);
    for (auto& tensor : tensors_) { align_tensor(tensor, keepers_); }
  }

  tensor_entry read_tensor(std::string const& name, json_value const& value) const {
    auto const what = "tensor '" + shown(name) + "'";
    for (char const* key : {"dtype", "shape", "data_offsets"}) {
      if (!value.has(key)) { bad_file(file_, what, "dtype, shape and data_offsets in the header", std::string("no ") + key); }
    }
    tensor_entry t;
    t.name = name;
    t.file = file_;
    auto const dtype = value["dtype"];
    if (!dtype.is_string()) { bad_file(file_, "dtype of " + what, "a string", dtype.type_name()); }
    auto const type = dtype.text();
    t.type_name = lower(shown(type));
    if (type == "F32") { t.type = element_type::f32; }
    if (type == "F16") { t.type = element_type::f16; }
    if (type == "BF16") { t.type = element_type::bf16; }
    std::uint64_t elements = 1;
    for (auto extent : numbers(value["shape"], "shape of " + what)) {
      if (extent > largest || (extent != 0 && elements > largest / extent)) { bad_file(file_, "shape of " + what, "at most 2^56 elements", "more"); }
      elements *= extent;
      t.shape.push_back(static_cast<index_t>(extent));
    }
    auto const offsets = numbers(value["data_offsets"], "data_offsets of " + what);
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > largest) {
      bad_file(file_, "data_offsets of " + what, "[begin, end], ascending and inside the file", shown(value["data_offsets"].written()));
    }
    t.offset = static_cast<index_t>(offsets[0]);
    t.bytes = static_cast<index_t>(offsets[1] - offsets[0]);
    auto const size = element_bytes(type);
    if (size != 0 && elements * size != offsets[1] - offsets[0]) {
      bad_file(file_, what, std::to_string(elements * size) + " bytes for " + t.type_name + " " + shape_text(t.shape), std::to_string(t.bytes));
    }
    return t;
  }

  /// Turns offsets into the data section into offsets into the file; every byte of the section belongs to exactly one tensor.
  void place_tensors(std::span<unsigned char const> data, std::uint64_t start) {
    std::vector<tensor_entry> sorted;
    sorted.reserve(tensors_.size());
    for (auto* const t : by_offset(tensors_)) { sorted.push_back(std::move(*t)); }
    tensors_ = std::move(sorted);
    index_t end = 0;
    for (auto& t : tensors_) {
      auto const what = "tensor '" + shown(t.name) + "'";
      if (t.offset != end) {
        bad_file_at(file_, start + static_cast<std::uint64_t>(t.offset), what, "to begin where the tensor before it ends, at " + std::to_string(start + static_cast<std::uint64_t>(end)),
                    t.offset < end ? "an overlap" : "a hole");
      }
      end = t.offset + t.bytes;
      if (end > static_cast<index_t>(data.size())) {
        bad_file_at(file_, start + static_cast<std::uint64_t>(t.offset), what, std::to_string(t.bytes) + " bytes",
                    "the end of the file at " + std::to_string(start + data.size()));
      }
      t.data = data.data() + t.offset;
      t.offset += static_cast<index_t>(start);
    }
    if (end != static_cast<index_t>(data.size())) {
      bad_file_at(file_, start + static_cast<std::uint64_t>(end), "the end of the tensors", "the end of the file", std::to_string(data.size() - static_cast<std::size_t>(end)) + " more bytes");
    }
  }

  std::vector<std::uint64_t> numbers(json_value const& list, std::string const& what) const {
    if (!list.is_array()) { bad_file(file_, what, "a list of numbers", list.type_name()); }
    std::vector<std::uint64_t> out;
    for (auto const& value : list.items()) {
      auto const number = value.integer();
      if (!number || *number < 0) { bad_file(file_, what, "whole numbers that are not negative", shown(value.written())); }
      out.push_back(static_cast<std::uint64_t>(*number));
    }
    return out;
  }

  /// 0 for a type that is not known.
  static std::uint64_t element_bytes(std::string const& type) {
    static std::map<std::string, std::uint64_t> const sizes = {{"F64", 8}, {"I64", 8}, {"U64", 8}, {"F32", 4}, {"I32", 4}, {"U32", 4},     {"F16", 2},     {"BF16", 2},
                                                               {"I16", 2}, {"U16", 2}, {"I8", 1},  {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    auto const found = sizes.find(type);
    return found == sizes.end() ? 0 : found->second;
  }

  static std::string lower(std::string text) {
    for (auto& c : text) { c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
    return text;
  }

  static constexpr std::uint64_t longest_header = 100'000'000;  // the format's own limit
  static constexpr std::uint64_t largest = std::uint64_t{1} << 56;

  std::string file_;
  std::vector<tensor_entry> tensors_;
  std::vector<std::shared_ptr<void const>> keepers_;
};

}  // namespace loopserve
