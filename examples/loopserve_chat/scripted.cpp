// SPDX-License-Identifier: Apache-2.0
#include "scripted.hpp"

#include <exception>
#include <iostream>
#include <string>

#include <loopserve/core/error.hpp>

#include "../shared/progress.hpp"
#include "json_line.hpp"
#include "remarks.hpp"

namespace chat {
namespace {

struct fact_count {
  int right = 0;
  int asked = 0;
};

std::string place_text(int conversation, int turn) {
  return "loopserve-chat: conversation " + std::to_string(conversation) + ", turn " + std::to_string(turn) + ": ";
}

turn_result say(partner& with, std::string const& text, bool stream) {
  if (text.empty()) { throw loopserve::error("the prompt is empty, so there is nothing to answer"); }
  programs::progress bar("reading", "tokens");
  return with.say(text, {[&](int done, int total) { bar.update(done, total); },
                         [&](std::string const& piece) {
                           bar.clear();
                           if (stream) { std::cout << piece << std::flush; }
                         }});
}

void converse(partner& with, programs::scripted_dialogue const& dialogue, int conversation, bool json, int& turn, fact_count& facts) {
  for (turn = 0; turn < static_cast<int>(dialogue.size()); ++turn) {
    auto const& asked = dialogue[static_cast<std::size_t>(turn)];
    auto const result = say(with, asked.user, !json);
    int const right = programs::facts_right(asked.facts, result.text);
    facts.right += right;
    facts.asked += static_cast<int>(asked.facts.size());
    if (json) { std::cout << json_line({conversation, turn, static_cast<int>(asked.facts.size()), right}, result); }
    std::cout << std::endl;
    for (auto const& remark : remarks(result.report)) { std::cerr << place_text(conversation, turn) << remark << std::endl; }
  }
}

}  // namespace

int run_script(partner& with, std::vector<programs::scripted_dialogue> const& script, settings const& s) {
  int code = 0;
  fact_count facts;
  for (std::size_t c = 0; c < script.size(); ++c) {
    int turn = 0;
    try {
      with.close_all();
      with.open();
      converse(with, script[c], static_cast<int>(c), s.json, turn, facts);
    } catch (std::exception const& e) {
      std::cerr << place_text(static_cast<int>(c), turn) << e.what() << std::endl;
      code = 1;
    }
  }
  if (!s.json && facts.asked > 0) { std::cout << "facts: " << facts.right << "/" << facts.asked << " right" << std::endl; }
  return code;
}

}  // namespace chat
