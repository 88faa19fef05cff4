// SPDX-License-Identifier: Apache-2.0
/// loopserve-demo: a long dialogue answered twice side by side, dense and with LoopServe's two phases.
#include <fstream>
#include <iostream>

#include "../shared/dialogue_file.hpp"
#include "../shared/guarded_main.hpp"
#include "../shared/number_checks.hpp"
#include "comparison.hpp"
#include "plan_picture.hpp"

namespace {

struct demo_settings {
  std::string model = "assets/demo-model";
  std::string dialogue;
  std::string picture = "build/demo-lines.svg";
  int layer = 2;
  demo::side_settings side;
};

void add_flags(CLI::App& app, demo_settings& s) {
  app.add_option("--model", s.model, "the model's folder")->capture_default_str();
  app.add_option(
      "--dialogue", s.dialogue,
      "a file as loopserve-chat's --file takes it, of which the first conversation is held; default: demo.jsonl of the model's folder");
  app.add_option("--alpha", s.side.alpha, "share of the attention mass that prefill keeps")
      ->capture_default_str()
      ->check(programs::above_zero());
  app.add_option("--budget-share", s.side.budget_share, "share of the context that decode attends to")
      ->capture_default_str()
      ->check(programs::share(0, 1, false));
  app.add_option("--picture", s.picture, "where the picture of the chosen lines goes; empty: none")->capture_default_str();
  app.add_option("--layer", s.layer, "the layer that the picture shows")->capture_default_str()->check(programs::whole_from(0));
  app.add_option("--threads", s.side.threads, "0: all that the machine has")->check(programs::whole_from(0));
}

bool asks(std::string_view sentence) {
  return sentence.starts_with("What is the ") || sentence.starts_with("Tell me the ") || sentence.starts_with("Give me the ");
}

/// Where the demo model's user asks: in the first sentences of a turn, in the last, or between.
char const* position_of(std::string_view text) {
  if (asks(text)) { return "begin"; }
  auto const stop = text.size() < 2 ? std::string_view::npos : text.find_last_of(".?", text.size() - 2);
  auto const last = stop == std::string_view::npos ? text : text.substr(std::min(text.size(), stop + 2));
  return asks(last) ? "end" : "middle";
}

void show(demo::compared_turn const& t, std::size_t number) {
  std::cout << "turn " << number << ", " << t.sparse.report.tokens_in << " tokens, questions at the " << t.position << "\n  dense      "
            << t.dense.text << "\n  loopserve  " << (t.sparse.text == t.dense.text ? "the same" : t.sparse.text) << "\n"
            << std::flush;
}

void draw(std::vector<demo::recorded_plan> const& plans, demo_settings const& s) {
  auto const layer = static_cast<std::size_t>(s.layer);
  if (layer >= plans.size()) { throw loopserve::error("there is no layer " + std::to_string(s.layer) + " to draw"); }
  std::filesystem::path const path = s.picture;
  if (path.has_parent_path()) { std::filesystem::create_directories(path.parent_path()); }
  std::ofstream file(path);
  file << demo::plan_picture(plans[layer]).svg();
  if (!file.flush()) { throw loopserve::error(s.picture + " cannot be written"); }
  std::cout << "The lines chosen in layer " << s.layer << " in the last turn are drawn in " << s.picture << "\n";
}

int run(demo_settings s) {
  s.side.model = s.model;
  auto const path = s.dialogue.empty() ? s.model + "/demo.jsonl" : s.dialogue;
  auto const dialogue = programs::read_dialogues(path).front();
  s.side.sparse = false;
  demo::side dense(s.side);
  s.side.sparse = true;
  demo::side sparse(s.side);

  std::vector<demo::compared_turn> turns;
  for (auto const& asked : dialogue) {
    demo::compared_turn t{position_of(asked.user), dense.say(asked.user), sparse.say(asked.user), static_cast<int>(asked.facts.size())};
    t.dense_right = programs::facts_right(asked.facts, t.dense.text);
    t.sparse_right = programs::facts_right(asked.facts, t.sparse.text);
    turns.push_back(std::move(t));
    show(turns.back(), turns.size());
  }
  std::cout << "\n" << demo::table_of(turns) << "\n";
  if (!s.picture.empty()) { draw(sparse.plans(), s); }
  std::cout << demo::verdict_of(turns) << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Holds one long dialogue twice, dense and with LoopServe's two phases, and compares answers and work.", "loopserve-demo");
  demo_settings s;
  add_flags(app, s);
  return programs::guarded_main(app, argc, argv, [&] { return run(s); });
}
