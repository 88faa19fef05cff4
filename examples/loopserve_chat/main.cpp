// SPDX-License-Identifier: Apache-2.0
/// loopserve-chat MODEL: holds conversations, by hand or from a script.
#include "../shared/checked_text.hpp"
#include "../shared/guarded_main.hpp"
#include "flags.hpp"
#include "interactive.hpp"
#include "scripted.hpp"

int main(int argc, char** argv) {
  CLI::App app("Holds conversations with a model, skipping what attention does not need.", "loopserve-chat");
  chat::settings s;
  chat::add_flags(app, s);
  return programs::guarded_main(app, argc, argv, [&] {
    if (s.raw && s.on_full == "drop") { throw loopserve::error("--on-full drop leaves out turns, which --raw text does not have: leave one of the two out"); }
    programs::checked_text(s.system, "--system");
    std::vector<programs::scripted_dialogue> script;
    if (!s.file.empty()) { script = programs::read_dialogues(s.file); }
    if (!s.prompts.empty()) {
      script.emplace_back();
      for (auto const& p : s.prompts) { script.back().push_back({programs::checked_text(p, "--prompt " + std::to_string(script.back().size()))}); }
    }
    auto const with = chat::open_partner(s);
    return script.empty() ? chat::run_interactive(*with, s) : chat::run_script(*with, script, s);
  });
}
