// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <loopserve/core/error.hpp>

namespace loopserve::detail {

inline std::uint64_t mix_bits(std::uint64_t z) {
  z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93U;
  z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93U;
  return z ^ (z >> 32);
}

inline std::uint64_t hash_bytes(std::string_view text) {
  std::uint64_t h = 0x9e3779b97f4a7c15U ^ text.size();
  while (text.size() >= 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, text.data(), 8);
    h = mix_bits(h ^ eight);
    text.remove_prefix(8);
  }
  std::uint64_t rest = 0;
  if (!text.empty()) { std::memcpy(&rest, text.data(), text.size()); }
  return mix_bits(h ^ rest);
}

/// The smallest power of two that is at least twice `count`.
inline std::size_t open_slots(std::size_t count) {
  std::size_t slots = 16;
  while (slots < 2 * count) { slots *= 2; }
  return slots;
}

/// The bytes of every token by id, in one block, and the way back: open addressing over the block.
class token_table {
 public:
  token_table() = default;
  /// tokens by id; an empty one is a hole. Only tokens with `findable[id]` are found; of equal ones the lowest id.
  token_table(std::vector<std::string> const& tokens, std::vector<bool> const& findable) {
    std::size_t total = 0;
    std::size_t entries = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      total += tokens[i].size();
      entries += findable[i] && !tokens[i].empty() ? 1U : 0U;
    }
    check(total < std::numeric_limits<std::uint32_t>::max(), "a vocabulary's tokens take 4 GB or more");
    bytes_.reserve(total);
    begin_.reserve(tokens.size() + 1);
    slots_.resize(open_slots(entries));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      begin_.push_back(static_cast<std::uint32_t>(bytes_.size()));
      bytes_ += tokens[i];
    }
    begin_.push_back(static_cast<std::uint32_t>(bytes_.size()));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (!findable[i] || tokens[i].empty() || find(tokens[i]) >= 0) { continue; }
      auto const h = hash_bytes(tokens[i]);
      auto at = h & (slots_.size() - 1);
      while (slots_[at].id >= 0) { at = (at + 1) & (slots_.size() - 1); }
      slots_[at] = {static_cast<std::uint32_t>(h >> 32), static_cast<std::int32_t>(i)};
    }
  }

  int size() const { return begin_.empty() ? 0 : static_cast<int>(begin_.size()) - 1; }

  std::string_view operator[](std::int32_t id) const {
    auto const i = static_cast<std::size_t>(id);
    return std::string_view(bytes_).substr(begin_[i], begin_[i + 1] - begin_[i]);
  }

  /// The token with exactly these bytes, -1 where there is none.
  std::int32_t find(std::string_view bytes) const {
    if (slots_.empty()) { return -1; }
    auto const h = hash_bytes(bytes);
    for (auto at = h & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      auto const& s = slots_[at];
      if (s.id < 0) { return -1; }
      if (s.check == static_cast<std::uint32_t>(h >> 32) && (*this)[s.id] == bytes) { return s.id; }
    }
  }

 private:
  struct slot {
    std::uint32_t check = 0;
    std::int32_t id = -1;
  };
  std::string bytes_;
  std::vector<std::uint32_t> begin_;
  std::vector<slot> slots_;
};

}  // namespace loopserve::detail
