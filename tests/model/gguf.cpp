// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include <loopserve/model/gguf.hpp>

#include "model/gguf_writer.hpp"

using namespace loopserve;
using writer = gguf_writer;

namespace {

std::string message_of(std::vector<unsigned char> const& bytes) {
  try {
    gguf::parse(bytes, "x.gguf");
  } catch (format_error const& e) {
    return e.what();
  }
  return "";
}

bool contains(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("metadata of every type, nested arrays too") {
  for (std::uint32_t version : {2u, 3u}) {
    writer w;
    w.header(version, 0, 15);
    w.key("u8", gguf_type::u8).put<std::uint8_t>(200);
    w.key("i8", gguf_type::i8).put<std::int8_t>(-100);
    w.key("u16", gguf_type::u16).put<std::uint16_t>(60000);
    w.key("i16", gguf_type::i16).put<std::int16_t>(-30000);
    w.key("u32", gguf_type::u32).put<std::uint32_t>(4000000000u);
    w.key("i32", gguf_type::i32).put<std::int32_t>(-2000000000);
    w.key("u64", gguf_type::u64).put<std::uint64_t>(std::uint64_t{1} << 63);
    w.key("i64", gguf_type::i64).put<std::int64_t>(-(std::int64_t{1} << 60));
    w.key("f32", gguf_type::f32).put<float>(0.5F);
    w.key("f64", gguf_type::f64).put<double>(0.1);
    w.key("bool", gguf_type::boolean).put<std::uint8_t>(1);
    w.key("string", gguf_type::string).text("a text");
    w.key("strings", gguf_type::array).array(gguf_type::string, 3).text("one").text("").text("three");
    w.key("scores", gguf_type::array).array(gguf_type::f32, 2).put(1.5F).put(-2.5F);
    w.key("nested", gguf_type::array).array(gguf_type::array, 2).array(gguf_type::i16, 2).put<std::int16_t>(1).put<std::int16_t>(-2).array(gguf_type::string, 1).text("in");
    auto const file = gguf::parse(w.bytes, "x.gguf");
    CHECK(file.version() == version);
    CHECK(file.keys().size() == 15);
    CHECK(file.keys()[2] == "u16");
    CHECK(file.integer("u8") == 200);
    CHECK(file.integer("i8") == -100);
    CHECK(file.integer("u16") == 60000);
    CHECK(file.integer("i16") == -30000);
    CHECK(file.integer("u32") == 4000000000);
    CHECK(file.integer("i32") == -2000000000);
    CHECK(file.integer("i64") == -(std::int64_t{1} << 60));
    CHECK(file.number("f32") == 0.5);
    CHECK(file.number("f64") == 0.1);
    CHECK(file.number("u8") == 200);
    CHECK(file.boolean("bool"));
    CHECK(file.string("string") == "a text");
    CHECK(file.strings("strings") == std::vector<std::string_view>{"one", "", "three"});
    CHECK(file.numbers("scores") == std::vector<double>{1.5, -2.5});
    auto const nested = file.elements(file.value("nested"));
    REQUIRE(nested.size() == 2);
    CHECK(gguf::type_text(nested[0]) == "array of 2 i16");
    CHECK(gguf_value::number<int>(nested[0].element, nested[0].bytes.data() + 2) == -2);
    CHECK(file.elements(nested[1])[0].text() == "in");
    CHECK(file.integer_or("none", 5) == 5);
    CHECK(file.string_or("none", "x") == "x");
    CHECK_THROWS_WITH_AS(file.integer("none"), "x.gguf: metadata key 'none': expected a value, found no such key", format_error);
    CHECK_THROWS_WITH_AS(file.integer("string"), "x.gguf: metadata key 'string': expected an integer, found string", format_error);
    CHECK_THROWS_WITH_AS(file.integer_or("f32", 1), "x.gguf: metadata key 'f32': expected an integer, found f32", format_error);
    CHECK_THROWS_WITH_AS(file.strings("scores"), "x.gguf: metadata key 'scores': expected an array of strings, found array of 2 f32", format_error);
    CHECK_THROWS_WITH_AS(file.integers("strings"), "x.gguf: metadata key 'strings': expected an array of integers, found array of 3 string", format_error);
    CHECK_THROWS_AS(file.integer("u64"), format_error);
    CHECK_THROWS_AS(file.boolean("u8"), format_error);
    CHECK_THROWS_AS(file.numbers("u8"), format_error);
    // Every shorter file is refused.
    for (std::size_t n = 0; n < w.bytes.size(); ++n) {
      std::vector<unsigned char> const cut(w.bytes.begin(), w.bytes.begin() + static_cast<std::ptrdiff_t>(n));
      auto const message = message_of(cut);
      CHECK(contains(message, "x.gguf: "));
      CHECK(contains(message, ": expected "));
      CHECK(contains(message, ", found "));
    }
  }
}

TEST_CASE("absurd counts and depths are refused before anything is allocated for them") {
  CHECK(contains(message_of(writer().header(3, std::uint64_t{1} << 60, 0).bytes), "the number of tensors at byte 8: expected at most"));
  CHECK(contains(message_of(writer().header(3, 0, ~std::uint64_t{0}).bytes), "the number of metadata keys at byte 16: expected at most 0"));
  CHECK(contains(message_of(writer().header(1, 0, 0).bytes), "the version at byte 4: expected 2 or 3, found 1"));
  CHECK(contains(message_of(writer().header(3u << 24, 0, 0).bytes), "found a big-endian file"));
  auto one = [] { return writer().header(3, 0, 1); };
  auto const room = std::vector<unsigned char>(64);
  auto padded = [&](writer w) {
    w.bytes.insert(w.bytes.end(), room.begin(), room.end());
    return message_of(w.bytes);
  };
  CHECK(contains(padded(one().key("a", gguf_type::array).array(gguf_type::u64, std::uint64_t{1} << 61)), "expected at most 8, what the file has room for"));
  CHECK(contains(padded(one().key("a", gguf_type::array).array(gguf_type::string, 1000)), "expected at most 8"));
  CHECK(contains(padded(one().key("a", static_cast<gguf_type>(13))), "expected a value type below 13, found 13"));
  CHECK(contains(padded(one().put(~std::uint64_t{0})), "expected at most 65535 bytes"));
  auto deep = one().key("a", gguf_type::array);
  for (int i = 0; i < 6; ++i) { deep.array(gguf_type::array, 1); }
  CHECK(contains(padded(deep), "arrays nested at most 4 deep"));
  auto twice = writer().header(3, 0, 2).key("a", gguf_type::u8).put<std::uint8_t>(1).key("a", gguf_type::u8).put<std::uint8_t>(1);
  CHECK(contains(message_of(twice.bytes), "metadata key 'a' at byte 38: expected every key once, found a second one"));
}

TEST_CASE("tensors: shapes slowest first, types by name, bytes inside the file and apart") {
  auto file = [](std::uint32_t type, std::uint64_t width, std::uint64_t second_offset, std::size_t data, std::uint64_t rows = 2) {
    writer w;
    w.header(3, 2, 0);
    w.text("a").put<std::uint32_t>(2).put(width).put(rows).put(type).put<std::uint64_t>(0);
    w.text("b").put<std::uint32_t>(1).put<std::uint64_t>(3).put<std::uint32_t>(0).put(second_offset);
    w.bytes.resize((w.bytes.size() + 31) / 32 * 32);
    w.bytes.resize(w.bytes.size() + data);
    return w.bytes;
  };
  auto const bytes = file(8, 64, 160, 172);
  auto const good = gguf::parse(bytes, "x.gguf");
  REQUIRE(good.tensors().size() == 2);
  auto const* a = good.find_tensor("a");
  REQUIRE(a != nullptr);
  CHECK(a->shape == std::vector<index_t>{2, 64});
  CHECK(a->type == element_type::q8_0);
  CHECK(a->bytes == 2 * 2 * 34);
  CHECK(good.find_tensor("b")->offset == a->offset + 160);
  CHECK(good.find_tensor("c") == nullptr);
  CHECK(gguf::parse(file(12, 256, 288, 300), "x").find_tensor("a")->type_name == "q4_k");
  CHECK_FALSE(gguf::parse(file(12, 256, 288, 300), "x").find_tensor("a")->type.has_value());
  CHECK(gguf::parse(file(77, 256, 288, 300), "x").find_tensor("a")->type_name == "type 77");
  CHECK(contains(message_of(file(8, 64, 160, 171)), "tensor 'b' at byte 288: expected 12 bytes of f32 (3), found the end of the file at 299"));
  CHECK(contains(message_of(file(8, 64, 128, 172)), "tensor 'b' at byte 256: expected bytes of its own, found bytes that tensor 'a' has too"));
  CHECK(contains(message_of(file(8, 64, 161, 200)), "tensor 'b': expected an offset that is a multiple of 32, found 161"));
  CHECK(contains(message_of(file(8, 65, 160, 200)), "expected rows of a multiple of 32 elements for q8_0, found 65"));
  CHECK(contains(message_of(file(0, std::uint64_t{1} << 40, 160, 200, std::uint64_t{1} << 40)), "expected a size of at most 2^56 elements"));
  CHECK(contains(message_of(file(8, 64, ~std::uint64_t{31}, 200)), "expected an offset inside the file"));
}

TEST_CASE("real vocabulary files of other architectures open") {
  std::string const folder = std::string(LOOPSERVE_MATERIAL) + "/tokenizers/vectors";
  if (!std::filesystem::exists(folder)) {
    MESSAGE("skipped: no material");
    return;
  }
  auto const gpt2 = gguf::open(folder + "/ggml-vocab-gpt-2.gguf");
  CHECK(gpt2.string("tokenizer.ggml.model") == "gpt2");
  CHECK(gpt2.strings("tokenizer.ggml.tokens").size() == 50257);
  CHECK(gpt2.strings("tokenizer.ggml.merges").size() == 50000);
  auto const spm = gguf::open(folder + "/ggml-vocab-llama-spm.gguf");
  CHECK(spm.strings("tokenizer.ggml.tokens").size() == 32000);
  CHECK(spm.numbers("tokenizer.ggml.scores").size() == 32000);
  CHECK(spm.integers("tokenizer.ggml.token_type").size() == 32000);
}

TEST_CASE("a file that cannot be opened is named") {
  CHECK_THROWS_WITH_AS(gguf::open("no/such.gguf"), "no/such.gguf: opening it: expected a file that can be read, found No such file or directory", format_error);
  CHECK_THROWS_AS(gguf::open("/"), format_error);
}
