// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <loopserve/core/error.hpp>

namespace programs {

/// What a user says in one turn, and the facts that a right answer states.
struct scripted_turn {
  std::string user;
  std::vector<std::string> facts = {};
};

using scripted_dialogue = std::vector<scripted_turn>;

/// Reads JSON lines: each a conversation {"turns": [{"user": TEXT, "facts": [TEXT, ...]}, ...]}, `facts` optional, further fields ignored, empty lines skipped.
/// Throws format_error, which names the file, the line, what was expected and what was found.
class dialogue_reader {
 public:
  explicit dialogue_reader(std::string name) : name_(std::move(name)) {}

  std::vector<scripted_dialogue> read(std::string_view text) {
    std::vector<scripted_dialogue> dialogues;
    for (line_ = 1; !text.empty(); ++line_) {
      auto const line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      if (line.find_first_not_of(" \t\r") != std::string_view::npos) { dialogues.push_back(dialogue(parsed(line))); }
    }
    if (dialogues.empty()) { throw loopserve::format_error(name_ + ": expected a conversation a line, found none"); }
    return dialogues;
  }

 private:
  using json = nlohmann::json;

  [[noreturn]] void refuse(std::string const& where, std::string const& expected, std::string const& found) const {
    throw loopserve::format_error(name_ + ": line " + std::to_string(line_) + where + ": expected " + expected + ", found " + found);
  }

  static std::string kind(json const& value) {
    if (value.is_discarded()) { return "nothing"; }
    return value.is_null() ? "null" : std::string("a value of type ") + value.type_name();
  }

  static json const& field(json const& object, char const* name) {
    static json const nothing(json::value_t::discarded);
    auto const found = object.find(name);
    return found == object.end() ? nothing : *found;
  }

  json parsed(std::string_view line) const {
    try {
      return json::parse(line);
    } catch (json::parse_error const& e) {
      auto const at = e.byte > 0 ? e.byte - 1 : 0;
      auto const what = at >= line.size() ? std::string("the end of the line") : static_cast<unsigned char>(line[at]) < 0x20 || static_cast<unsigned char>(line[at]) > 0x7e
                            ? "the byte " + std::to_string(static_cast<unsigned char>(line[at])) : "'" + std::string(1, line[at]) + "'";
      refuse(", byte " + std::to_string(at), "JSON in UTF-8", what);
    } catch (json::exception const&) {
      refuse("", "JSON with numbers that fit", "one that does not");
    }
  }

  scripted_dialogue dialogue(json const& line) const {
    if (!line.is_object()) { refuse("", "an object with \"turns\"", kind(line)); }
    auto const& turns = field(line, "turns");
    if (!turns.is_array()) { refuse("", "an array \"turns\"", kind(turns)); }
    if (turns.empty()) { refuse("", "at least one turn in \"turns\"", "none"); }
    scripted_dialogue dialogue;
    for (auto const& t : turns) { dialogue.push_back(turn(t, ", turn " + std::to_string(dialogue.size()))); }
    return dialogue;
  }

  scripted_turn turn(json const& value, std::string const& where) const {
    if (!value.is_object()) { refuse(where, "an object with \"user\"", kind(value)); }
    auto const& user = field(value, "user");
    if (!user.is_string()) { refuse(where, "a string \"user\"", kind(user)); }
    scripted_turn turn{user.get<std::string>()};
    auto const& facts = field(value, "facts");
    if (facts.is_discarded()) { return turn; }
    if (!facts.is_array()) { refuse(where, "an array \"facts\"", kind(facts)); }
    for (auto const& fact : facts) {
      if (!fact.is_string()) { refuse(where, "strings in \"facts\"", kind(fact)); }
      turn.facts.push_back(fact.get<std::string>());
    }
    return turn;
  }

  std::string name_;
  std::size_t line_ = 0;
};

/// All of a file's conversations.
inline std::vector<scripted_dialogue> read_dialogues(std::filesystem::path const& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) { throw loopserve::error(path.string() + " cannot be read"); }
  std::string const text{std::istreambuf_iterator<char>(file), {}};
  return dialogue_reader(path.string()).read(text);
}

/// Facts that the answer contains, each followed by its full stop.
inline int facts_right(std::vector<std::string> const& facts, std::string_view answer) {
  int right = 0;
  for (auto const& fact : facts) { right += answer.find(fact + ".") != std::string_view::npos ? 1 : 0; }
  return right;
}

}  // namespace programs
