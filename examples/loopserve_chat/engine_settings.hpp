// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <limits>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/model/json_file.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/serve/engine_options.hpp>

#include "../shared/kv_type_name.hpp"
#include "settings.hpp"

namespace chat {

/// The engine that the command line asks for.
template <class Config>
loopserve::engine_options<Config> engine_settings(settings const& s) {
  loopserve::engine_options<Config> o;
  programs::apply(s.parts, o);
  o.threads = s.threads;
  o.context_tokens = s.context;
  o.seed = s.seed;
  if (!s.kv_type.empty()) { o.kv_type = programs::kv_type_of(s.kv_type); }
  if (s.raw) {
    // No template is wanted, so one that is not known must not be in the way.
    o.render = [](auto, bool) -> std::vector<loopserve::text_piece> { throw loopserve::error("raw text has no chat template"); };
  }
  o.check_weights = false;  // the program does it, to show how far it is
  o.overflow = s.on_full == "drop" ? loopserve::overflow_policy::drop_oldest_turns : loopserve::overflow_policy::refuse;
  return o;
}

/// The longest answer: what the command line says, else what the model's own generation_config.json says, else 512.
inline int answer_limit(settings const& s, loopserve::model_files const& files) {
  auto const own = std::filesystem::path(files.folder()) / "generation_config.json";
  if (s.max_tokens || files.gguf() != nullptr || !std::filesystem::exists(own)) { return s.max_tokens.value_or(512); }
  auto const generation = loopserve::json_file::open(own.string());
  return generation.has("max_new_tokens") ? static_cast<int>(generation.integer("max_new_tokens", 1, std::numeric_limits<int>::max())) : 512;
}

/// What every conversation asks for.
inline loopserve::conversation_options conversation_settings(settings const& s, loopserve::model_files const& files) {
  loopserve::conversation_options o;
  o.system = s.system;
  o.raw = s.raw;
  o.max_tokens = answer_limit(s, files);
  o.sampling.temperature = static_cast<float>(s.temperature);
  o.sampling.top_k = s.top_k;
  o.sampling.top_p = static_cast<float>(s.top_p);
  o.sampling.min_p = static_cast<float>(s.min_p);
  o.sampling.seed = s.seed;
  return o;
}

}  // namespace chat
