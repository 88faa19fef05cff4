// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "number_checks.hpp"
#include "part_settings.hpp"

namespace programs {

/// Declares the flags that choose selector and KV policy.
inline void add_part_flags(CLI::App& app, part_settings& p) {
  app.option_defaults()->group("What is skipped");
  app.add_option("--mode", p.mode, "dense, loopserve (both phases), prefill-only (sparse prefill, dense decode) or decode-only")
      ->capture_default_str()
      ->check(CLI::IsMember({"dense", "loopserve", "prefill-only", "decode-only"}));
  app.add_option("--selector", p.selector, "the prefill selector by name, instead of the mode's");
  app.add_option("--compressor", p.compressor, "the KV policy by name, instead of the mode's; with_recall:NAME wraps one");
  app.add_option("--alpha", p.alpha, "share of the attention mass that prefill keeps; 1 or more keeps all")->check(above_zero());
  app.add_option("--budget", p.budget, "context tokens per KV head while answering: N, or P% of the context at the turn's start");
  app.add_option("--interval", p.interval, "answer tokens between two selections of the KV policy")->check(whole_from(1));
  app.add_option("--recall-bits", p.recall_bits, "bits a key channel takes in recall's sketch: 1, 2 or 4")->check(CLI::IsMember({1, 2, 4}));
  app.add_option("--core-share", p.core_share, "share of the budget that recall leaves to the policy it wraps")
      ->check(share());
  app.add_flag("--no-fallback", p.no_fallback, "sparse prefill also where dense is expected to be faster");
}

}  // namespace programs
