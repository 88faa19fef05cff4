// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <loopserve/core/rng.hpp>
#include <loopserve/model/load_weights.hpp>
#include <loopserve/model/model_files.hpp>

#include "broken/refusal.hpp"
#include "model/temporary_folder.hpp"

using namespace loopserve;

namespace {

std::string const good_folder = std::string(LOOPSERVE_SOURCE_DIR) + "/tests/data/shapes/llama-tiny";
std::string const good = read_file(good_folder + "/model.safetensors");

std::string header_of(std::string const& file) {
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  return file.substr(8, length);
}
std::string data_of(std::string const& file) { return file.substr(8 + header_of(file).size()); }

std::string with_length(std::uint64_t length, std::string const& rest) {
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + rest;
}
std::string joined(std::string const& header, std::string const& data) { return with_length(header.size(), header + data); }

/// What loading a model whose weights are `bytes` says.
std::string loading(std::string const& bytes) {
  static temporary_folder const folder;
  std::filesystem::copy_file(good_folder + "/config.json", folder.file("config.json"), std::filesystem::copy_options::overwrite_existing);
  folder.write("model.safetensors", bytes);
  largest_allocation = 0;
  auto const said = refusal([&] { load_weights(*model_files::open(folder.path())); });
  CHECK(largest_allocation < (1 << 20));
  if (said != "accepted") { CHECK(complete(said, "model.safetensors")); }
  return said;
}

std::string parsing(std::string const& bytes) {
  // A copy of exact size, so that AddressSanitizer sees a read past the end.
  std::vector<unsigned char> const copy(bytes.begin(), bytes.end());
  return refusal([&] { safetensors::parse(copy, "x.safetensors"); });
}

/// The first tensor of the header, as JSON text by key.
nlohmann::json header() { return nlohmann::json::parse(header_of(good)); }

std::string edited(char const* tensor, char const* key, nlohmann::json value) {
  auto h = header();
  h[tensor][key] = std::move(value);
  return joined(h.dump(), data_of(good));
}

}  // namespace

TEST_CASE("the good file is accepted, aligned or not") {
  CHECK(loading(good) == "accepted");
  for (int spaces = 1; spaces < 8; ++spaces) { CHECK(loading(joined(header_of(good) + std::string(spaces, ' '), data_of(good))) == "accepted"); }
}

TEST_CASE("numbers at odd addresses are the same numbers") {
  temporary_folder const folder;
  folder.copy(good_folder + "/config.json");
  folder.write("model.safetensors", joined(header_of(good) + " ", data_of(good)));
  auto const a = load_weights(*model_files::open(good_folder));
  auto const b = load_weights(*model_files::open(folder.path()));
  CHECK(reinterpret_cast<std::uintptr_t>(b.layers[0].q.data) % 4 == 0);
  CHECK(std::memcmp(a.embedding.data, b.embedding.data, static_cast<std::size_t>(a.embedding.bytes())) == 0);
  CHECK(std::memcmp(a.layers[0].down.data, b.layers[0].down.data, static_cast<std::size_t>(a.layers[0].down.bytes())) == 0);
}

TEST_CASE("a file that is cut anywhere is refused") {
  for (std::size_t n = 0; n < good.size(); n += n < 64 ? 1 : 37) {
    CAPTURE(n);
    CHECK(complete(parsing(good.substr(0, n)), "x.safetensors"));
  }
  CHECK(complete(parsing(good.substr(0, good.size() - 1)), "x.safetensors"));
  CHECK(contains(loading(""), "the header's length at byte 0: expected 8 bytes, found 0 bytes"));
  CHECK(contains(loading(good.substr(0, good.size() - 1)), "found the end of the file at " + std::to_string(good.size() - 1)));
}

TEST_CASE("a header longer than the file, or absurdly long, is refused before anything is allocated") {
  auto const rest = good.substr(8);
  auto const most = std::to_string(rest.size());
  CHECK(contains(loading(with_length(rest.size() + 1, rest)), "the header's length at byte 0: expected at most " + most + " bytes, found " + std::to_string(rest.size() + 1)));
  CHECK(contains(loading(with_length(std::uint64_t{1} << 40, rest)), "expected at most " + most));
  CHECK(contains(loading(with_length(~std::uint64_t{0}, rest)), "expected at most " + most));
  CHECK(complete(loading(with_length(0, rest)), "model.safetensors"));
  CHECK(complete(loading(with_length(rest.size(), rest)), "model.safetensors"));
}

TEST_CASE("a header that is not the format's JSON is refused") {
  auto const data = data_of(good);
  CHECK(contains(loading(joined("{", data)), "its JSON at byte 9: expected JSON in UTF-8"));
  CHECK(contains(loading(joined("[]", data)), "the header at byte 8: expected a JSON object, found array"));
  CHECK(complete(loading(joined("{\"\xff\":1}", data)), "model.safetensors"));
  CHECK(contains(loading(joined(std::string(100000, '['), data)), "maximum parsing depth reached"));
  CHECK(contains(loading(joined("{\"a\":1}", data)), "tensor 'a': expected dtype, shape and data_offsets in the header, found no dtype"));
  CHECK(contains(loading(joined(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{}})", data)), "every key of an object once, found a fault: duplicate object key near '\"a\"'"));
  CHECK(complete(loading(joined(R"({"a":{"dtype":1e999,"shape":[1],"data_offsets":[0,4]}})", data)), "model.safetensors"));
}

TEST_CASE("tensors that do not fit their bytes are refused") {
  auto const* const norm = "model.norm.weight";  // 5 floats
  CHECK(contains(loading(edited(norm, "dtype", "F16")), "tensor 'model.norm.weight': expected 10 bytes for f16 (5), found 20"));
  CHECK(contains(loading(edited(norm, "dtype", "I32")), "tensor 'model.norm.weight': expected type f32, f16, bf16 or (GGUF) q8_0, found i32"));
  CHECK(contains(loading(edited(norm, "dtype", "X")), "expected type f32, f16, bf16 or (GGUF) q8_0, found x"));
  CHECK(contains(loading(edited(norm, "dtype", 7)), "dtype of tensor 'model.norm.weight': expected a string, found number"));
  CHECK(contains(loading(edited(norm, "shape", {5, 1})), "tensor 'model.norm.weight': expected (5), found (5, 1)"));
  CHECK(contains(loading(edited(norm, "shape", {6})), "expected 24 bytes for f32 (6), found 20"));
  CHECK(contains(loading(edited(norm, "shape", {-5})), "whole numbers that are not negative, found -5"));
  CHECK(contains(loading(edited(norm, "shape", {std::uint64_t{1} << 40, std::uint64_t{1} << 40})), "expected at most 2^56 elements"));
  CHECK(contains(loading(edited(norm, "shape", {std::uint64_t{1} << 62})), "expected at most 2^56 elements"));
  CHECK(contains(loading(edited(norm, "shape", "5")), "shape of tensor 'model.norm.weight': expected a list of numbers, found string"));
  CHECK(contains(loading(edited(norm, "data_offsets", {0, 20})), "an overlap"));
  CHECK(contains(loading(edited(norm, "data_offsets", {20, 0})), "data_offsets of tensor 'model.norm.weight': expected [begin, end], ascending"));
  CHECK(contains(loading(edited(norm, "data_offsets", {0})), "expected [begin, end]"));
  CHECK(contains(loading(edited(norm, "data_offsets", {std::uint64_t{1} << 60, (std::uint64_t{1} << 60) + 20})), "inside the file"));
  CHECK(contains(loading(joined(header_of(good), data_of(good) + "x")), "expected the end of the file, found 1 more bytes"));
  auto moved = header();
  for (auto& [name, t] : moved.items()) {
    if (name != "__metadata__") { t["data_offsets"] = {t["data_offsets"][0].get<int>() + 4, t["data_offsets"][1].get<int>() + 4}; }
  }
  CHECK(contains(loading(joined(moved.dump() + "    ", data_of(good).insert(0, "1234"))), "a hole"));
}

TEST_CASE("a missing tensor is named") {
  auto const bytes = replaced(good, "\"model.layers.0.mlp.up_proj.weight\"", "\"model.layers.0.mlp.xx_proj.weight\"");
  CHECK(contains(refusal([&] {
                   temporary_folder const folder;
                   folder.copy(good_folder + "/config.json");
                   folder.write("model.safetensors", bytes);
                   load_weights(*model_files::open(folder.path()));
                 }),
                 "tensor 'model.layers.0.mlp.up_proj.weight': expected ("));
}

TEST_CASE("a tensor that the decoder would leave out is named") {
  auto const with = [](std::string const& name, std::string const& config_change = "", std::string const& to = "") {
    auto h = header();
    auto const end = data_of(good).size();
    h[name] = {{"dtype", "F32"}, {"shape", {1}}, {"data_offsets", {end, end + 4}}};
    temporary_folder const folder;
    auto const config = read_file(good_folder + "/config.json");
    folder.write("config.json", config_change.empty() ? config : replaced(config, config_change, to));
    auto header_text = h.dump();
    header_text.resize((header_text.size() + 7) / 8 * 8, ' ');
    folder.write("model.safetensors", joined(header_text, data_of(good) + std::string(4, '\0')));
    return refusal([&] { load_weights(*model_files::open(folder.path())); });
  };
  for (char const* name : {"model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.q_norm.weight", "model.layers.0.mlp.experts.0.up_proj.weight", "model.layers.17.input_layernorm.weight",
                           "model.embed_positions.weight", "lm_head.bias"}) {
    auto const said = with(name);
    CHECK(contains(said, "model.safetensors: tensor '" + std::string(name) + "': expected only what a llama decoder of "));
    CHECK(contains(said, ", found f32 (1)"));
  }
  // Frequencies follow from the configuration, and another network beside the decoder is not its business.
  for (char const* name : {"model.rotary_emb.inv_freq", "model.layers.0.self_attn.rotary_emb.inv_freq", "vision_tower.patches.weight"}) { CHECK(with(name) == "accepted"); }
}

TEST_CASE("a head beside one that is tied is a copy of the embedding, or refused") {
  auto h = header();
  auto data = data_of(good);
  auto const tied = replaced(read_file(good_folder + "/config.json"), "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
  REQUIRE_FALSE(tied.empty());
  auto const loading_tied = [&] {
    temporary_folder const folder;
    folder.write("config.json", tied);
    folder.write("model.safetensors", joined(h.dump(), data));
    return refusal([&] { load_weights(*model_files::open(folder.path())); });
  };
  CHECK(contains(loading_tied(), "tensor 'lm_head.weight': expected none, or a copy of the embedding, as tie_word_embeddings says, found f32 ("));
  auto const begin = [&](char const* name) { return h[name]["data_offsets"][0].get<std::size_t>(); };
  auto const size = h["lm_head.weight"]["data_offsets"][1].get<std::size_t>() - begin("lm_head.weight");
  data.replace(begin("lm_head.weight"), size, data, begin("model.embed_tokens.weight"), size);
  CHECK(loading_tied() == "accepted");
}

TEST_CASE("NaN and infinity in weights are found in every type, and the tensor is named") {
  auto const h = header();
  auto const* const name = "model.layers.0.mlp.down_proj.weight";
  auto const at = 8 + header_of(good).size() + h[name]["data_offsets"][0].get<std::size_t>();
  for (std::uint32_t bits : {0x7fc00000u, 0x7f800000u, 0xff800000u, 0xffffffffu}) {
    auto bytes = good;
    std::memcpy(bytes.data() + at + 4 * 3, &bits, 4);
    CHECK(contains(loading(bytes), "tensor 'model.layers.0.mlp.down_proj.weight': expected finite numbers, found NaN or infinity at element 3"));
  }
  auto finite = good;
  std::uint32_t const largest = 0x7f7fffffu;
  std::memcpy(finite.data() + at, &largest, 4);
  CHECK(loading(finite) == "accepted");
  for (auto type : {element_type::f32, element_type::f16, element_type::bf16, element_type::q8_0}) {
    index_t const count = 3 * 1024 * 1024;  // several of the scan's pieces
    std::vector<unsigned char> data(static_cast<std::size_t>(bytes_of(type, count)));
    std::vector<tensor_entry> one(1);
    one[0].name = "w";
    one[0].type = type;
    one[0].bytes = static_cast<index_t>(data.size());
    one[0].data = data.data();
    CHECK(refusal([&] { check_finite(one, 2); }) == "accepted");
    for (index_t element : {index_t{0}, index_t{2500000}, count - 1}) {
      auto const block = element / 32 * 32;
      auto const byte = type == element_type::q8_0 ? bytes_of(type, block) : bytes_of(type, element);
      std::size_t const width = type == element_type::f32 ? 4 : 2;
      auto const named = type == element_type::q8_0 ? block : element;
      std::uint32_t const infinity = type == element_type::f32 ? 0x7f800000u : type == element_type::bf16 ? 0x7f80u : 0x7c00u;
      for (std::uint32_t bits : {infinity, infinity | 1u << (8 * width - 1), infinity + 1, ~0u}) {
        std::memcpy(data.data() + byte, &bits, width);
        CHECK(contains(refusal([&] { check_finite(one, 2); }), "found NaN or infinity at element " + std::to_string(named)));
      }
      std::uint32_t const largest_finite = infinity - 1;
      std::memcpy(data.data() + byte, &largest_finite, width);
      CHECK(refusal([&] { check_finite(one, 2); }) == "accepted");
      std::memset(data.data() + byte, 0, width);
    }
  }
}

TEST_CASE("flipped bits give an error or a file that loads, never anything else") {
  auto const head = header_of(good).size() + 8;
  auto bytes = good;
  int refused = 0;
  for (std::size_t bit = 0; bit < head * 8; bit += 3) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    auto const said = parsing(bytes);
    if (said != "accepted") {
      ++refused;
      CHECK(complete(said, "x.safetensors"));
    }
    bytes[bit / 8] = good[bit / 8];
  }
  CHECK(refused > static_cast<int>(head));
  counter_rng const draw{27};
  for (std::uint64_t i = 0; i < 400; ++i) {
    bytes = good;
    for (std::uint64_t flips = 0; flips <= i % 3; ++flips) {
      auto const bit = draw.below(3 * i + flips, 8 * (i % 4 == 0 ? good.size() : head));
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    }
    loading(bytes);
  }
}

TEST_CASE("shards: a missing one, a tensor in two, a tensor in none, a name that leads elsewhere") {
  auto const source = std::string(LOOPSERVE_SOURCE_DIR) + "/tests/data/shapes/mistral-no-window";
  auto const with_index = [&](auto change) {
    temporary_folder const folder;
    for (auto const& entry : std::filesystem::directory_iterator(source)) { folder.copy(entry.path().string()); }
    auto index = nlohmann::json::parse(read_file(folder.file("model.safetensors.index.json")));
    change(index["weight_map"], folder);
    folder.write("model.safetensors.index.json", index.dump());
    auto const said = refusal([&] { load_weights(*model_files::open(folder.path())); });
    if (said != "accepted") { CHECK(complete(said, folder.path())); }
    return said;
  };
  using json = nlohmann::json;
  CHECK(with_index([](json&, auto&) {}) == "accepted");
  CHECK(contains(with_index([](json& map, auto&) { map["model.norm.weight"] = "model-00009-of-00002.safetensors"; }), "a file that can be read, found No such file"));
  CHECK(contains(with_index([](json& map, auto&) { map["model.norm.weight"] = "../model.safetensors"; }), "the name of a file in the same folder"));
  CHECK(contains(with_index([](json& map, auto&) { map["model.norm.weight"] = 3; }), "the name of a file in the same folder"));
  CHECK(contains(with_index([](json& map, auto&) { map["model.other.weight"] = "model-00001-of-00002.safetensors"; }), "found it in no shard"));
  CHECK(contains(with_index([](json& map, auto&) {
                   auto& norm = map["model.norm.weight"];
                   norm = norm == "model-00001-of-00002.safetensors" ? "model-00002-of-00002.safetensors" : "model-00001-of-00002.safetensors";
                 }),
                 "found it in "));
  CHECK(contains(with_index([](json& map, auto& folder) {
                   std::filesystem::copy_file(folder.file("model-00001-of-00002.safetensors"), folder.file("copy.safetensors"));
                   map["model.norm.weight"] = "copy.safetensors";
                 }),
                 "expected every tensor once, found another one in"));
  CHECK(contains(with_index([](json& map, auto&) { map = 5; }), "expected a JSON object"));
}
