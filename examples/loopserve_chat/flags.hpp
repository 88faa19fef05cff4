// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include "../shared/part_flags.hpp"
#include "settings.hpp"

namespace chat {

/// Declares the program's flags, which write to `s`.
inline void add_flags(CLI::App& app, settings& s) {
  using programs::not_negative, programs::share, programs::whole_from;
  app.add_option("MODEL", s.model, "a Hugging Face folder or a GGUF file")->required();

  app.option_defaults()->group("What is said");
  auto* const prompts = app.add_option("--prompt", s.prompts, "a turn's text; repeat it for further turns")->allow_extra_args(false);
  prompts->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--file", s.file, "conversations as JSON lines: {\"turns\":[{\"user\":TEXT,\"facts\":[TEXT,...]},...]}")
      ->excludes(prompts);
  app.add_option("--system", s.system, "the system message");
  app.add_flag("--raw", s.raw, "no chat template: texts follow each other as they are");
  app.add_flag("--json", s.json, "one JSON object a turn instead of the answer's text");

  programs::add_part_flags(app, s.parts);

  app.option_defaults()->group("Sampling");
  app.add_option("--max-tokens", s.max_tokens, "the longest answer; default: the model's generation_config.json, else 512")
      ->check(whole_from(1));
  app.add_option("--temperature", s.temperature, "0 takes the most likely token")->capture_default_str()->check(not_negative());
  app.add_option("--top-k", s.top_k, "keep the k most likely tokens; 0 keeps all")->check(whole_from(0));
  app.add_option("--top-p", s.top_p, "keep the fewest tokens whose probabilities reach p")->check(share(0, 1, false));
  app.add_option("--min-p", s.min_p, "keep tokens at least this fraction as likely as the best")->check(share());
  app.add_option("--seed", s.seed, "of sampling, and of the rows that selectors sample");

  app.option_defaults()->group("Engine");
  app.add_option("--backend", s.backend, "reference or cpu")->capture_default_str()->check(CLI::IsMember({"reference", "cpu"}));
  app.add_option("--threads", s.threads, "0: all that the machine has; answers do not depend on it")->check(whole_from(0));
  app.add_option("--kv-type", s.kv_type, "bf16, f16 or f32; default: f16, f32 on reference")
      ->check(CLI::IsMember({"bf16", "f16", "f32"}));
  app.add_option("--context", s.context, "longest conversation in tokens; default: what the model was made for")
      ->check(whole_from(1));
  app.add_option("--on-full", s.on_full, "at the context limit: refuse, or drop the oldest turns")
      ->capture_default_str()
      ->check(CLI::IsMember({"refuse", "drop"}));
}

}  // namespace chat
