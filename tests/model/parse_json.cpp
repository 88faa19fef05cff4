// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <string>

#include <loopserve/model/parse_json.hpp>

using loopserve::json_value;

namespace {

json_value parse(std::string const& text, bool unique_keys = false) { return loopserve::parse_json(text, {.file = "x.json", .start = 100, .unique_keys = unique_keys}); }

std::string refusal(std::string const& text, bool unique_keys = false) {
  try {
    return "accepted: " + parse(text, unique_keys).written();
  } catch (loopserve::format_error const& e) { return e.what(); }
}

}  // namespace

TEST_CASE("values are told apart, and ask for nothing that they are not") {
  auto const v = parse(R"({"a": [1, "two", 2.5, true, null], "b": {"c": "\u00e9\u0000!"}, "d": 3e2})");
  auto const items = v["a"].items();
  REQUIRE(items.size() == 5);
  CHECK(items[0].integer() == 1);
  CHECK(items[1].is_text("two"));
  CHECK(items[2].number() == 2.5);
  CHECK(items[2].integer() == std::nullopt);
  CHECK(items[3].boolean());
  CHECK(items[4].is_null());
  CHECK(v["b"]["c"].text() == std::string("\xC3\xA9\0!", 4));
  CHECK(v["d"].integer() == 300);
  CHECK(items[1].items().empty());
  CHECK(items[1].members().empty());
  CHECK(items[0].text().empty());
  CHECK(items[0]["a"].is_null());
  CHECK(v["none"]["at"]["all"].is_null());
  CHECK(parse("{\"n\": null}").has("n"));
  CHECK_FALSE(v.has("none"));
}

TEST_CASE("members come in the order of the file") {
  std::string keys;
  for (auto const& [key, value] : parse(R"({"z": 1, "a": 2, "m": 3})").members()) { keys += key + value.written(); }
  CHECK(keys == "z1a2m3");
}

TEST_CASE("whole numbers that 64 bits do not hold are read as real ones") {
  auto const v = parse(R"({"model_max_length": 1000000000000000019884624838656, "vocab_size": 128256})");
  CHECK(v["model_max_length"].number() == 1e30);
  CHECK(v["model_max_length"].integer() == std::nullopt);
  CHECK(v["vocab_size"].integer() == 128256);
  CHECK(parse("9223372036854775807").integer() == INT64_MAX);
}

TEST_CASE("a byte order mark is passed over") { CHECK(parse("\xEF\xBB\xBF[7]").items()[0].integer() == 7); }

TEST_CASE("what is no JSON is refused where reading stopped") {
  CHECK(refusal("{\"a\": \"\xFF\"}") == "x.json: its JSON at byte 107: expected JSON in UTF-8, found a fault: unable to decode byte 0xff near '\"'");
  CHECK(refusal("\xEF\xBB\xBF{\"a\": \"\xFF\"}").find(" at byte 110:") != std::string::npos);
  for (char const* text : {"", " ", "{", "[1,", "[1 2]", "nul", "'a'", "{\"a\" 1}", "[1]x", "[01]", "[1e999]", "\"\\ud800\"", "{1: 2}"}) {
    CAPTURE(text);
    CHECK(refusal(text).find("x.json: its JSON at byte 1") == 0);
  }
  CHECK(refusal(std::string(5000, '[')).find("maximum parsing depth") != std::string::npos);
}

TEST_CASE("a key that comes twice is refused where that was asked, otherwise the last one counts") {
  CHECK(refusal(R"({"a": 1, "b": {"c": 1, "c": 2}})", true).find("expected every key of an object once, found a fault: duplicate object key near '\"c\"'") !=
        std::string::npos);
  CHECK(parse(R"({"a": 1, "a": 2})")["a"].integer() == 2);
}
