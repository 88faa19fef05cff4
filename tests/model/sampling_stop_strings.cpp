// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/model/sampling/stop_strings.hpp>

using loopserve::stop_strings;

TEST_CASE("a stop string ends the answer across boundaries") {
  stop_strings s({"\nUser:", "END"});
  CHECK(s.push("Hello ") == "Hello ");
  CHECK(s.push("EN") == "");
  CHECK(s.push("ough\n") == "ENough");
  CHECK(s.push("Us") == "");
  CHECK_FALSE(s.stopped());
  CHECK(s.push("er: more") == "");
  CHECK(s.stopped());
  CHECK(s.push("anything") == "");
  CHECK(s.flush() == "");
}

TEST_CASE("what was held back comes at the end") {
  stop_strings s({"abab"});
  CHECK(s.push("xaba") == "x");
  CHECK(s.push("a") == "aba");
  CHECK(s.flush() == "a");
  CHECK_FALSE(s.stopped());
}

TEST_CASE("no stop strings hold nothing back") {
  stop_strings s({""});
  CHECK(s.push("text") == "text");
  CHECK_FALSE(s.stopped());
}

TEST_CASE("any cutting of a text gives the same answer") {
  std::vector<std::string> const stops = {"aab", "ba", "ccc", "caabb"};
  for (std::uint64_t trial = 0; trial < 3000; ++trial) {
    loopserve::counter_rng const rng{1, trial};
    std::string text;
    for (std::uint64_t i = 0; i < 12; ++i) { text += static_cast<char>('a' + rng.below(i, 3)); }
    auto first = std::string::npos;
    auto earliest_end = std::string::npos;  // the answer ends as soon as some string is complete
    for (auto const& stop : stops) {
      auto const at = text.find(stop);
      if (at != std::string::npos && at + stop.size() <= earliest_end) {
        first = at + stop.size() < earliest_end ? at : std::min(first, at);
        earliest_end = at + stop.size();
      }
    }
    stop_strings s(stops);
    std::string out;
    for (auto c : text) { out += s.push(std::string(1, c)); }
    out += s.flush();
    CHECK(s.stopped() == (first != std::string::npos));
    CHECK(out == text.substr(0, first));
    stop_strings whole(stops);
    auto at_once = whole.push(text);
    at_once += whole.flush();
    CHECK(at_once == out);
  }
}
