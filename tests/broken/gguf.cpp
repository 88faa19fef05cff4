// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/model/load_weights.hpp>
#include <loopserve/model/model_files.hpp>

#include "broken/refusal.hpp"
#include "model/temporary_folder.hpp"

using namespace loopserve;

namespace {

std::string const good = read_file(std::string(LOOPSERVE_SOURCE_DIR) + "/assets/demo-model/model-bf16.gguf");

/// What loading a model from these bytes says.
std::string loading(std::string const& bytes) {
  static temporary_folder const folder;
  auto const path = folder.write("model.gguf", bytes);
  largest_allocation = 0;
  auto const said = refusal([&] { load_weights(*model_files::open(path)); });
  CHECK(largest_allocation < (1 << 21));
  if (said != "accepted") { CHECK(complete(said, "model.gguf")); }
  return said;
}

/// `good` with `value` written `skip` bytes after the end of the first `name`.
template <class T>
std::string patched(std::string const& name, std::size_t skip, T value) {
  auto bytes = good;
  auto const at = bytes.find(name);
  REQUIRE(at != std::string::npos);
  std::memcpy(bytes.data() + at + name.size() + skip, &value, sizeof value);
  return bytes;
}

// After a tensor's name: rank (4), two extents (16), type (4), offset (8).
constexpr std::size_t extent_at = 4;
constexpr std::size_t type_at = 20;
constexpr std::size_t offset_at = 24;

}  // namespace

TEST_CASE("the good file is accepted") { CHECK(loading(good) == "accepted"); }

TEST_CASE("a file that is cut anywhere is refused") {
  for (std::size_t n : {0, 1, 3, 4, 7, 8, 15, 16, 23, 24, 31, 32, 100, 1000, 10000, 20000, 30000}) { CHECK(loading(good.substr(0, n)) != "accepted"); }
  CHECK(contains(loading(good.substr(0, good.size() - 64)), ", found the end of the file at " + std::to_string(good.size() - 64)));
  CHECK(contains(loading(good.substr(0, 3)), "the magic at byte 0: expected 4 bytes, found 3 bytes before the end of the file"));
}

TEST_CASE("another kind of file, version or byte order") {
  CHECK(contains(loading(replaced(good, "GGUF", "GGML")), "the magic at byte 0: expected 'GGUF', found 'GGML'"));
  CHECK(contains(loading(patched<std::uint32_t>("GGUF", 0, 1)), "the version at byte 4: expected 2 or 3, found 1"));
  CHECK(contains(loading(patched<std::uint32_t>("GGUF", 0, 3u << 24)), "expected a little-endian file of version 2 or 3, found a big-endian file"));
  CHECK(contains(loading(patched<std::uint64_t>("GGUF", 4, std::uint64_t{1} << 60)), "the number of tensors at byte 8: expected at most"));
  CHECK(contains(loading(patched<std::uint64_t>("GGUF", 12, ~std::uint64_t{0})), "the number of metadata keys at byte 16: expected at most"));
  CHECK(contains(loading(patched<std::uint64_t>("tokenizer.ggml.tokens", 8, std::uint64_t{1} << 50)), "the length of array metadata key 'tokenizer.ggml.tokens' at byte"));
}

TEST_CASE("metadata that is missing, of another type, or absurd, is named") {
  auto const renamed = [](std::string const& key) {
    auto other = key;
    other.back() = 'X';
    return loading(replaced(good, key, other));
  };
  for (char const* key : {"llama.context_length", "llama.embedding_length", "llama.block_count", "llama.feed_forward_length", "llama.attention.head_count", "general.architecture"}) {
    CHECK(contains(renamed(key), "model.gguf: metadata key '" + std::string(key) + "': expected a value, found no such key"));
  }
  auto const f32 = static_cast<std::uint32_t>(gguf_type::f32);
  CHECK(contains(loading(patched("llama.block_count", 0, f32)), "metadata key 'llama.block_count': expected an integer, found f32"));
  CHECK(contains(loading(patched<std::uint32_t>("llama.block_count", 4, 0)), "metadata key 'llama.block_count': expected a number from 1 to 4096, found 0"));
  CHECK(contains(loading(patched<std::uint32_t>("llama.block_count", 4, 0xffffffffu)), "found 4294967295"));
  CHECK(contains(loading(patched<std::uint32_t>("llama.block_count", 4, 5)), "tensor 'blk.4.attn_norm.weight': expected (192), found no such tensor"));
  CHECK(contains(loading(patched<std::uint32_t>("llama.attention.head_count_kv", 4, 4)), "expected a divisor of 6, found 4"));
  CHECK(contains(loading(patched<std::uint32_t>("llama.rope.dimension_count", 4, 16)), "expected all of the head's 32 channels, found 16"));
  CHECK(contains(loading(patched("llama.rope.freq_base", 4, -1.0F)), "metadata key 'llama.rope.freq_base': expected a number above 0"));
  CHECK(contains(loading(replaced(good, std::string("general.architecture") + std::string("\x08\0\0\0\x05\0\0\0\0\0\0\0", 12) + "llama",
                                  std::string("general.architecture") + std::string("\x08\0\0\0\x05\0\0\0\0\0\0\0", 12) + "bloom")),
                 "metadata key 'general.architecture': expected llama, qwen2 or qwen3, found 'bloom'"));
}

TEST_CASE("tensors that are missing, of another type or shape, overlapping or outside") {
  std::string const name = "blk.1.attn_output.weight";
  CHECK(contains(loading(replaced(good, name, "blk.1.attn_output.weighX")), "tensor 'blk.1.attn_output.weight': expected (192, 192), found no such tensor"));
  CHECK(contains(loading(replaced(good, name, "blk.0.attn_output.weight")), "expected every tensor once, found a second one"));
  CHECK(contains(loading(patched<std::uint32_t>(name, type_at, 24)), "expected type f32, f16, bf16 or (GGUF) q8_0, found i8"));
  CHECK(contains(loading(patched<std::uint32_t>(name, type_at, 99)), "expected type f32, f16, bf16 or (GGUF) q8_0, found type 99"));
  CHECK(contains(loading(patched<std::uint32_t>(name, type_at, 12)), "expected rows of a multiple of 256 elements for q4_k, found 192"));
  CHECK(contains(loading(patched<std::uint32_t>(name, type_at, 0)), "bytes that tensor '"));
  CHECK(contains(loading(patched<std::uint64_t>(name, extent_at, 96)), "tensor 'blk.1.attn_output.weight': expected (192, 192), found (192, 96)"));
  CHECK(contains(loading(patched<std::uint64_t>(name, extent_at, std::uint64_t{1} << 55)), "expected a size of at most 2^56 elements"));
  CHECK(contains(loading(patched<std::uint32_t>(name, 0, 0)), "expected 1 to 4 axes, found 0"));
  CHECK(contains(loading(patched<std::uint32_t>(name, 0, 1000000)), "expected 1 to 4 axes, found 1000000"));
  CHECK(contains(loading(patched<std::uint64_t>(name, offset_at, 0)), "expected bytes of its own"));
  CHECK(contains(loading(patched<std::uint64_t>(name, offset_at, 7)), "expected an offset that is a multiple of 32, found 7"));
  CHECK(contains(loading(patched<std::uint64_t>(name, offset_at, std::uint64_t{1} << 40)), "found the end of the file at"));
  CHECK(contains(loading(patched<std::uint64_t>(name, offset_at, ~std::uint64_t{31})), "expected an offset inside the file"));
}

TEST_CASE("tensors that the decoder would leave out are named") {
  CHECK(contains(loading(patched<std::uint32_t>("llama.block_count", 4, 3)), "tensor 'blk.3."));
  CHECK(contains(loading(patched<std::uint32_t>("llama.block_count", 4, 3)), "expected only what a llama decoder of 3 layers computes with as its configuration has it, found "));
}

TEST_CASE("NaN in weights is found and the tensor is named") {
  auto bytes = good;
  std::vector<unsigned char> const copy(good.begin(), good.end());
  auto const file = gguf::parse(copy, "x");
  auto const* t = file.find_tensor("blk.2.ffn_up.weight");
  bytes[static_cast<std::size_t>(t->offset) + 2 * 1000] = '\xc0';
  bytes[static_cast<std::size_t>(t->offset) + 2 * 1000 + 1] = '\x7f';
  CHECK(contains(loading(bytes), "tensor 'blk.2.ffn_up.weight': expected finite numbers, found NaN or infinity at element 1000"));
}

TEST_CASE("flipped bits give an error or a file that loads, never anything else") {
  auto const head = good.find("output_norm.weight") == std::string::npos ? 40000 : good.rfind("blk.3.", 100000) + 200;
  counter_rng const draw{27};
  auto bytes = good;
  int refused = 0;
  std::vector<unsigned char> copy(good.begin(), good.end());
  for (std::uint64_t i = 0; i < 1500; ++i) {
    // Half of them in the first keys, where a bit decides most.
    auto const bit = draw.below(i, 8 * (i % 2 == 0 ? 2000 : head));
    copy[bit / 8] ^= static_cast<unsigned char>(1 << (bit % 8));
    auto const said = refusal([&] {
      auto const file = gguf::parse(copy, "x.gguf");
      for (auto const& key : file.keys()) {
        if (file.value(key).type == gguf_type::array) { file.elements(file.value(key)); }
      }
      read_model_config(file);
    });
    if (said != "accepted") {
      ++refused;
      CHECK(complete(said, "x.gguf"));
    }
    copy[bit / 8] ^= static_cast<unsigned char>(1 << (bit % 8));
  }
  CHECK(refused > 100);
  for (std::uint64_t i = 0; i < 60; ++i) {
    auto const bit = draw.below(5000 + i, 8 * (i % 2 == 0 ? 2000 : good.size()));
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    loading(bytes);
    bytes[bit / 8] = good[bit / 8];
  }
}
