// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <loopserve/model/gguf_value.hpp>

/// Writes GGUF, byte by byte.
struct gguf_writer {
  std::vector<unsigned char> bytes;

  template <class T>
  gguf_writer& put(T value) {
    auto const at = bytes.size();
    bytes.resize(at + sizeof value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
    return *this;
  }
  gguf_writer& text(std::string const& s) {
    put<std::uint64_t>(s.size());
    bytes.insert(bytes.end(), s.begin(), s.end());
    return *this;
  }
  gguf_writer& key(std::string const& name, loopserve::gguf_type type) { return text(name).put(static_cast<std::uint32_t>(type)); }
  gguf_writer& array(loopserve::gguf_type element, std::uint64_t count) { return put(static_cast<std::uint32_t>(element)).put(count); }
  gguf_writer& header(std::uint32_t version, std::uint64_t tensors, std::uint64_t keys) {
    bytes = {'G', 'G', 'U', 'F'};
    return put(version).put(tensors).put(keys);
  }
};
