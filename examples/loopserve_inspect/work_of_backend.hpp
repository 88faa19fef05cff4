// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <loopserve/model/load_weights.hpp>
#include <loopserve/serve/settle_options.hpp>

#include "../shared/by_name.hpp"
#include "../shared/checked_weights.hpp"
#include "../shared/kv_type_name.hpp"
#include "../shared/part_settings.hpp"
#include "../shared/progress.hpp"
#include "work.hpp"

namespace inspect {

template <class Backend>
using options_type = loopserve::engine_options<programs::by_name<Backend>>;

template <class Backend>
options_type<Backend> options_of(settings const& s, loopserve::model_files const& files) {
  options_type<Backend> o;
  programs::apply(s.parts, o);
  programs::check_names<programs::by_name<Backend>>(o);
  if (!s.kv_type.empty()) { o.kv_type = programs::kv_type_of(s.kv_type); }
  o.threads = s.threads;
  return loopserve::settle_options(std::move(o), files.shape(), files.weight_bytes());
}

/// Nothing of the weights is read.
template <class Backend>
loopserve::memory_plan plan_of(settings const& s, files_pointer const& files) {
  auto o = options_of<Backend>(s, *files);
  o.memory_bytes = s.memory;
  int const context = s.context > 0 ? s.context : files->shape().max_context;
  auto const plan = [&](int tokens) { return loopserve::plan_memory<programs::by_name<Backend>>(files->shape(), files->weight_bytes(), o, tokens); };
  auto const asked = plan(context);
  if (s.memory > 0 && asked.longest_context < 2) {
    throw loopserve::capacity_error("--memory: no conversation fits: expected at least " + std::to_string(plan(2).total_bytes()) + " bytes, which one of 2 tokens takes, found " +
                                    std::to_string(s.memory));
  }
  return asked;
}

template <class Backend>
loopserve::score_result score_of(settings const& s, files_pointer const& files, std::vector<loopserve::token_id> const& ids) {
  using config = programs::by_name<Backend>;
  auto const o = options_of<Backend>(s, *files);
  Backend backend(o.threads);
  programs::check_weights(*files);
  typename config::model network(backend, loopserve::load_weights(*files, false));
  programs::progress bar("reading", "tokens");
  return loopserve::scorer<config>(backend, network, o).run(ids, [&](std::size_t done, std::size_t total) {
    bar.update(static_cast<std::int64_t>(done), static_cast<std::int64_t>(total));
  });
}

}  // namespace inspect
