// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>

#include <CLI/CLI.hpp>

#include "../shared/part_flags.hpp"
#include "settings.hpp"

namespace inspect {

/// Declares the program's flags, which write to `s`. Scores are dense where no mode is given.
inline void add_flags(CLI::App& app, settings& s) {
  app.add_option("MODEL", s.model, "a Hugging Face folder or a GGUF file")->required();
  app.add_flag("--json", s.json, "what the model holds as one JSON object");

  app.option_defaults()->group("Memory");
  app.add_option("--context", s.context, "the memory that one conversation of so many tokens takes")->check(programs::whole_from(1));
  app.add_option("--memory", s.memory, "bytes there are: how long may a conversation be?")->check(programs::whole_from(1, std::numeric_limits<std::int64_t>::max()));

  app.option_defaults()->group("Text");
  auto* const tokenize = app.add_option("--tokenize", s.tokenize, "print the ids of a file's bytes; - is standard input");
  auto* const score = app.add_option("--score", s.score, "print the log-probability of every token of a file as JSON; - is standard input")->excludes(tokenize);
  app.add_flag("--ids", s.ids, "the file to score holds ids, separated by white space")->needs(score);

  programs::add_part_flags(app, s.parts);
  app.get_option("--mode")->default_str("loopserve; dense for --score");

  app.option_defaults()->group("Engine");
  app.add_option("--backend", s.backend, "reference or cpu")->capture_default_str()->check(CLI::IsMember({"reference", "cpu"}));
  app.add_option("--kv-type", s.kv_type, "bf16, f16 or f32; default: f16, f32 on reference")->check(CLI::IsMember({"bf16", "f16", "f32"}));
  app.add_option("--threads", s.threads, "0: all that the machine has")->check(programs::whole_from(0));
}

}  // namespace inspect
